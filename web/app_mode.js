/** Keeps the graphs of this pack that open in the app mode from doing so on pages that know no forms for it yet. */

import { app } from '../../scripts/app.js'

app.registerExtension({
    name: 'WideRangeImageBlending.AppMode',

    /** Before 1.42 the page had a draft of the app mode, which lists every widget of the graph and not its form's. */
    afterConfigureGraph() {
        const workflow = app.extensionManager.workflow.activeWorkflow
        const hasForms = !workflow || 'initialMode' in workflow
        if (!hasForms && app.graph.nodes.some(isOfThisPack)) delete app.graph.extra.linearMode
    },
})

function isOfThisPack(node) {
    return node.comfyClass?.startsWith('WRB')
}
