/** Puts a panorama viewer into each Preview Panorama node, in ComfyUI's classic and in its new node design. */

import { api } from '../../scripts/api.js'
import { app } from '../../scripts/app.js'
import { LEAST_HEIGHT, PanoramaViewer } from './panorama_viewer.js'

const NODE = 'WRBPreviewPanorama'
const FIRST_SIZE = [480, 340]
const MIDDLE_BUTTON = 1
const MIDDLE_BUTTON_HELD = 4

/** Whether the page knows `hideOutputImages`, which came with the page's own node for cropping. */
const canHideImages = app.extensions.some(({ name }) => name === 'Comfy.ImageCrop')

/** What the node's last run left: ComfyUI's name of each picture, and whether they loop. By the node. */
const lastOutputs = new WeakMap()
/** By the node. @type {WeakMap<object, PanoramaViewer>} */
const viewers = new WeakMap()
/** Where on the page removed viewers were, for a moment. By the node's id. */
const leftPlaces = new Map()

app.registerExtension({
    name: 'WideRangeImageBlending.PreviewPanorama',

    nodeCreated(node) {
        if (node.comfyClass === NODE) addViewer(node)
    },

    /** After an undo the nodes are new ones, and the pictures that the old ones showed are still known. */
    loadedGraphNode(node) {
        if (viewers.has(node)) showOutput(node, keptOutput(node))
    },

    /** Another workflow's tab was opened, and what its nodes had shown is known again. */
    onNodeOutputsUpdated() {
        for (const node of allNodes()) if (viewers.has(node)) showOutput(node, keptOutput(node))
    },
})

function addViewer(node) {
    const viewer = new PanoramaViewer(() => isLoop(node), app.extensionManager.setting.get('Comfy.Locale'))
    viewers.set(node, viewer)
    viewer.element.classList.add('widget-expands') // the new design gives such a widget the free height of the node
    passMiddleButtonOn(viewer.element)
    const widget = node.addDOMWidget('viewer', 'WRB_PANORAMA_VIEWER', viewer.element, {
        serialize: false,
        hideOnZoom: false,
        hideInPanel: true, // there it would be an empty row
        getMinHeight: () => LEAST_HEIGHT,
    })
    widget.serialize = false // the option keeps it out of what is run, this out of what is saved
    node.hideOutputImages = true // the new design's own pictures
    node.onDrawBackground = () => {} // the classic design's
    node.setSize([Math.max(node.size[0], FIRST_SIZE[0]), Math.max(node.size[1], FIRST_SIZE[1])])

    chain(node, 'onExecuted', (output) => showOutput(node, output))
    chain(node, 'onConnectionsChange', () => viewer.draw())
    chain(loopWidget(node), 'callback', () => viewer.draw())
    chain(node, 'onConfigure', () => takeLeftPlace(node, viewer))
    chain(node, 'onRemoved', () => remove(node, viewer))
}

function remove(node, viewer) {
    const place = viewer.element.parentElement
    leftPlaces.set(node.id, place)
    setTimeout(() => leftPlaces.delete(node.id))
    viewer.remove()
}

/**
 * An undo makes all nodes anew, but the new design goes on showing the widgets' elements that it has: for a node of
 * the same id it does not ask for the new one.
 */
function takeLeftPlace(node, viewer) {
    const place = leftPlaces.get(node.id)
    if (!place) return
    // By then the page has either thrown the place away or decided to keep it.
    setTimeout(() => {
        if (place.isConnected && !viewer.element.isConnected) place.replaceChildren(viewer.element)
    })
}

/** Dragging with the middle button moves the graph, as it does over ComfyUI's own widgets. */
function passMiddleButtonOn(element) {
    element.addEventListener('pointerdown', (event) => {
        if (event.button === MIDDLE_BUTTON) app.canvas.processMouseDown(event)
    })
    element.addEventListener('pointermove', (event) => {
        if (event.buttons & MIDDLE_BUTTON_HELD) app.canvas.processMouseMove(event)
    })
    element.addEventListener('pointerup', (event) => {
        if (event.button === MIDDLE_BUTTON) app.canvas.processMouseUp(event)
    })
}

function showOutput(node, output = {}) {
    if (!canHideImages) hideImages(output)
    lastOutputs.set(node, output)
    const viewer = viewers.get(node)
    viewer.show((output.panoramas ?? output.images ?? []).map(urlOf))
    viewer.draw()
}

/** Older pages draw a thumbnail of each of a node's `images`, in the new design whatever the node says. */
function hideImages(output) {
    output.panoramas ??= output.images
    delete output.images
}

function urlOf({ filename, subfolder, type }) {
    return new URL(api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}`), location.href).href
}

/** The switch on the node counts at once; where another node sets it, what it was in the last run. */
function isLoop(node) {
    const isSetByNode = node.isInputConnected(node.findInputSlot('loop'))
    return Boolean(isSetByNode ? lastOutputs.get(node)?.loop?.[0] : loopWidget(node)?.value)
}

function loopWidget(node) {
    return node.widgets?.find((widget) => widget.name === 'loop')
}

/** What the page remembers of the node's last run. */
function keptOutput(node) {
    const isInSubgraph = node.graph && node.graph.isRootGraph === false
    return app.nodeOutputs[isInSubgraph ? `${node.graph.id}:${node.id}` : `${node.id}`]
}

function* allNodes() {
    yield* app.graph.nodes
    for (const subgraph of app.graph.subgraphs?.values() ?? []) yield* subgraph.nodes
}

/** Call `action` after the object's own method of that name. */
function chain(object, name, action) {
    const original = object[name]
    object[name] = function (...values) {
        const result = original?.apply(this, values)
        action(...values)
        return result
    }
}
