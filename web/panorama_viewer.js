import { cornerOf, firstView, limitScale, limitView, pan, zoom } from './panorama_view.js'
import { TEXTS } from './viewer_texts.js'

/** Least height in px of the viewer: enough of the picture, and the line below it. */
export const LEAST_HEIGHT = 160

const ZOOM_STEP = 1.25
/** How much a px of the wheel's way enlarges: a notch, usually 100 px, makes about a sixth. */
const ZOOM_PER_WHEEL_PIXEL = 0.0015
/** In px, for browsers that count the wheel's way in lines. */
const WHEEL_LINE = 33
/** What moves and zooms the graph, and must not over the viewer. */
const KEPT_FROM_GRAPH = ['wheel', 'touchstart', 'touchmove', 'touchend']
const LISTEN_FIRST = { capture: true, passive: false }
/** The part of the box that an arrow key moves the picture by; with Shift all of it. */
const KEY_STEP = 0.125
/** From here on the picture's pixels are seen one by one, and shown as the squares they are. */
const SCALE_OF_SQUARES = 4

const contentIn = (texts) => `
<style>
    :host {
        display: flex;
        flex-direction: column;
        box-sizing: border-box;
        width: 100%;
        height: 100%;
        min-height: ${LEAST_HEIGHT}px;
        color: var(--input-text, #ddd);
        font: 12px/20px Inter, Arial, sans-serif;
        user-select: none;
    }
    .frame { position: relative; flex: 1; min-height: 0; }
    .view {
        position: absolute;
        width: 100%;
        height: 100%;
        /* In a box of part of a px the browser would scale the picture a little, and blur it. */
        width: round(down, 100%, 1px);
        height: round(down, 100%, 1px);
        overflow: hidden;
        border-radius: 4px;
        outline: none;
        background: var(--comfy-input-bg, #222) no-repeat;
        touch-action: none;
    }
    .view.shown { cursor: grab; }
    .view.held { cursor: grabbing; }
    /* Two colours, so that one of them stands out from any picture. */
    .view:focus-visible::after {
        content: "";
        position: absolute;
        inset: 0;
        border: 2px solid #fff;
        border-radius: inherit;
        box-shadow: inset 0 0 0 2px #06c;
    }
    .message {
        position: absolute;
        inset: 0;
        display: grid;
        place-items: center;
        margin: 0;
        padding: 8px;
        text-align: center;
        color: var(--descrip-text, #999);
    }
    .line { display: flex; gap: 8px; align-items: center; height: 24px; color: var(--descrip-text, #999); }
    .batch { display: flex; gap: 4px; align-items: center; font-variant-numeric: tabular-nums; }
    .size { flex: 1; overflow: hidden; white-space: nowrap; text-overflow: ellipsis; }
    .batch button {
        width: 24px;
        height: 20px;
        padding: 0;
        border: 0;
        border-radius: 4px;
        color: var(--input-text, #ddd);
        background: var(--comfy-input-bg, #222);
        font: inherit;
        font-size: 16px;
        line-height: 18px;
        cursor: pointer;
    }
    a { color: inherit; }
    :is(button, a):focus-visible { outline: 2px solid #4b9fff; }
    :is(button, a):hover { filter: brightness(1.3); }
    [hidden] { display: none !important; }
</style>
<div class="frame">
    <div class="view" tabindex="0" role="application" aria-roledescription="panorama"
        aria-keyshortcuts="ArrowLeft ArrowRight ArrowUp ArrowDown + - 1 Home [ ]">
        <p class="message"></p>
    </div>
</div>
<div class="line">
    <span class="batch">
        <button class="previous" aria-label="${texts.previous}" title="${texts.previous} ( [ )">‹</button>
        <span class="count"></span>
        <button class="next" aria-label="${texts.next}" title="${texts.next} ( ] )">›</button>
    </span>
    <span class="size"></span>
    <a target="_blank" rel="noopener" title="${texts.openHint}">${texts.open}</a>
</div>`

/**
 * A panorama to look around in: drag or arrow keys to move, wheel, two fingers or + and − to zoom, Home or a double
 * click to begin again, [ and ] for the others of a batch.
 *
 * The picture is the background of an element, not a canvas: the browser then draws no more than is seen, at the
 * screen's own resolution however the page scales the node, repeats it without end, and knows no limit of width.
 */
export class PanoramaViewer {
    /** @type {string[]} */
    #urls = []
    #index = 0
    /** The picture on show. @type {HTMLImageElement | null} */
    #picture = null
    /** The one on its way. @type {HTMLImageElement | null} */
    #loading = null
    /** Null while nobody has moved or zoomed: then the picture follows the size of the box. */
    #view = null
    /** Where the pointers were last that hold the picture, at most two. By their ids. @type {Map<number, Point>} */
    #held = new Map()
    #isLoop
    #texts

    /**
     * @param {() => boolean} isLoop whether the picture goes round and round; asked at each drawing
     * @param {string} language of the page; English where there are no texts in it
     */
    constructor(isLoop, language = 'en') {
        this.#isLoop = isLoop
        this.#texts = TEXTS[language] ?? TEXTS.en
        this.element = document.createElement('div')
        this.element.attachShadow({ mode: 'open' }).innerHTML = contentIn(this.#texts)
        this.#listen()
        new ResizeObserver(() => this.draw()).observe(this.#part('.view')) // lives and dies with the element
        this.#say(this.#texts.nothingYet)
        this.draw()
    }

    /**
     * Show these pictures, the first of them first. Where they are as large as the one before, one keeps looking at
     * the same spot, so that two runs can be compared.
     *
     * @param {string[]} urls
     */
    show(urls) {
        const isShown = this.#picture || this.#loading
        if (isShown && urls.join() === this.#urls.join()) return
        this.#urls = urls
        this.#index = Math.min(this.#index, Math.max(urls.length - 1, 0))
        this.#load()
    }

    /** Take it from the page, and from what it listens to there. */
    remove() {
        this.show([])
        this.element.remove()
        for (const type of KEPT_FROM_GRAPH) window.removeEventListener(type, this.#takeFromGraph, LISTEN_FIRST)
    }

    /** Draw again, after something has changed that `isLoop` tells. */
    draw() {
        this.#drawLine()
        const box = this.#box()
        if (!this.#picture || !box.width || !box.height) return
        const view = this.#currentView()
        const corner = cornerOf(view, box)
        const width = this.#size().width * view.scale
        const layers = this.#isLoop()
            ? loopingLayers(corner.x, width, box.width)
            : [{ left: corner.x, repeat: 'no-repeat' }]
        const { style } = this.#part('.view')
        style.backgroundImage = layers.map(() => `url("${this.#picture.src}")`).join()
        style.backgroundSize = `${width}px ${this.#size().height * view.scale}px`
        // On whole px of the screen, or a picture at 100 % would be blurred.
        style.backgroundPosition = layers.map(({ left }) => `${snap(left)}px ${snap(corner.y)}px`).join()
        this.#lieOnWholePixels()
        style.backgroundRepeat = layers.map(({ repeat }) => repeat).join()
        style.imageRendering = view.scale >= SCALE_OF_SQUARES ? 'pixelated' : 'auto'
    }

    /**
     * In the new design a transform moves the node, also by parts of a px, and the browser draws it there. In the classic
     * one it draws at the nearest px by itself.
     */
    #lieOnWholePixels() {
        if (!this.element.closest('.lg-node')) return
        const view = this.#part('.view')
        view.style.transform = ''
        const { x, y } = view.getBoundingClientRect()
        const pageScale = this.#pageScale()
        view.style.transform = `translate(${(snap(x) - x) / pageScale}px, ${(snap(y) - y) / pageScale}px)`
    }

    /** @returns {HTMLElement} */
    #part(selector) {
        return this.element.shadowRoot.querySelector(selector)
    }

    #listen() {
        const view = this.#part('.view')
        view.addEventListener('pointerdown', (event) => this.#startDrag(event))
        view.addEventListener('pointermove', (event) => this.#drag(event))
        for (const type of ['pointerup', 'pointercancel', 'lostpointercapture'])
            view.addEventListener(type, (event) => this.#endDrag(event))
        view.addEventListener('pointerenter', () => this.draw()) // the node may have moved by parts of a px
        view.addEventListener('dblclick', () => this.#reset())
        view.addEventListener('keydown', (event) => this.#handleKey(event))
        this.#part('.previous').addEventListener('click', () => this.#turn(-1))
        this.#part('.next').addEventListener('click', () => this.#turn(1))
        for (const type of KEPT_FROM_GRAPH) window.addEventListener(type, this.#takeFromGraph, LISTEN_FIRST)
        this.#keepFromNode()
    }

    /**
     * The new node design takes the wheel for the graph before any element sees it, unless one has the focus, and with
     * Ctrl or sideways always; and both designs zoom the graph with two fingers. So it must be caught still earlier.
     */
    #takeFromGraph = (event) => {
        if (!event.composedPath().includes(this.element)) return
        if (event.type === 'wheel') this.#handleWheel(event)
        event.stopPropagation()
    }

    /** What happens here neither drags the node nor does what a double click does to the graph. */
    #keepFromNode() {
        const stop = (event) => event.stopPropagation()
        const stopLeft = (event) => event.button === 0 && stop(event)
        const stopHeld = (event) => event.buttons & 1 && stop(event)
        this.element.addEventListener('pointerdown', stopLeft)
        this.element.addEventListener('pointermove', stopHeld)
        this.element.addEventListener('dblclick', stop)
    }

    #startDrag(event) {
        if (event.button !== 0) return
        const view = this.#part('.view')
        view.focus({ preventScroll: true })
        if (!this.#picture) return
        if (this.#held.size === 2) return
        view.setPointerCapture(event.pointerId)
        view.classList.add('held')
        this.#held.set(event.pointerId, { x: event.clientX, y: event.clientY })
    }

    /** One pointer moves the picture; two move and zoom it, so that what was under them stays there. */
    #drag(event) {
        if (!this.#held.has(event.pointerId)) return
        const before = span([...this.#held.values()])
        this.#held.set(event.pointerId, { x: event.clientX, y: event.clientY })
        const after = span([...this.#held.values()])
        if (!this.#picture) return
        const pageScale = this.#pageScale()
        const distance = { x: (after.x - before.x) / pageScale, y: (after.y - before.y) / pageScale }
        const view = this.#currentView()
        const scale = view.scale * (before.length && after.length ? after.length / before.length : 1)
        this.#look(zoom(pan(view, distance), this.#limitScale(scale), this.#fromMiddle(after)))
    }

    #endDrag(event) {
        this.#held.delete(event.pointerId)
        this.#part('.view').classList.toggle('held', this.#held.size > 0)
    }

    #handleWheel(event) {
        // Nor may, with Ctrl, the whole page zoom, at the end of the zoom either.
        event.preventDefault()
        const unit = [1, WHEEL_LINE, this.#box().height][event.deltaMode]
        const x = event.deltaX * unit
        const y = event.deltaY * unit
        if (Math.abs(x) > Math.abs(y)) {
            this.#pan({ x: -x, y: 0 })
        } else {
            const pointer = { x: event.clientX, y: event.clientY }
            this.#zoomBy(Math.exp(-y * ZOOM_PER_WHEEL_PIXEL), this.#fromMiddle(pointer))
        }
    }

    #handleKey(event) {
        if (event.ctrlKey || event.altKey || event.metaKey) return
        const action = this.#keyAction(event)
        if (!action) return
        event.preventDefault()
        event.stopPropagation()
        action()
    }

    /** @returns {(() => void) | undefined} */
    #keyAction({ key, shiftKey }) {
        const box = this.#box()
        const step = shiftKey ? 1 : KEY_STEP
        const actions = {
            ArrowLeft: () => this.#pan({ x: box.width * step, y: 0 }),
            ArrowRight: () => this.#pan({ x: -box.width * step, y: 0 }),
            ArrowUp: () => this.#pan({ x: 0, y: box.height * step }),
            ArrowDown: () => this.#pan({ x: 0, y: -box.height * step }),
            '+': () => this.#zoomBy(ZOOM_STEP),
            '=': () => this.#zoomBy(ZOOM_STEP), // the key of + on many keyboards, without Shift
            '-': () => this.#zoomBy(1 / ZOOM_STEP),
            1: () => this.#zoomTo(1),
            Home: () => this.#reset(),
            '[': () => this.#turn(-1),
            ']': () => this.#turn(1),
        }
        return actions[key]
    }

    #pan(distance) {
        if (this.#picture) this.#look(pan(this.#currentView(), distance))
    }

    #zoomBy(factor, point) {
        if (this.#picture) this.#zoomTo(this.#currentView().scale * factor, point)
    }

    #zoomTo(scale, point = { x: 0, y: 0 }) {
        if (!this.#picture) return
        // Limited before, or at the last step the point would not stay where it is.
        this.#look(zoom(this.#currentView(), this.#limitScale(scale), point))
    }

    #limitScale(scale) {
        return limitScale(scale, this.#size(), this.#box())
    }

    #look(view) {
        this.#view = limitView(view, this.#size(), this.#box(), this.#isLoop())
        this.draw()
    }

    #reset() {
        this.#view = null
        this.draw()
    }

    /** Go on to another picture of the batch; after the last comes the first. */
    #turn(step) {
        if (this.#urls.length < 2) return
        this.#index = (this.#index + step + this.#urls.length) % this.#urls.length
        this.#load()
    }

    /** Bring the chosen picture; the old one stays until it is there. */
    async #load() {
        this.#stopLoading()
        const url = this.#urls[this.#index]
        if (!url) return this.#replace(null, this.#texts.nothingYet)
        this.#drawLine()
        const picture = new Image()
        this.#loading = picture
        picture.src = url
        const isThere = await picture.decode().then(
            () => true,
            () => picture.naturalWidth > 0, // too large to be decoded ahead of time is no failure
        )
        if (this.#loading !== picture) return
        this.#loading = null
        this.#replace(isThere ? picture : null, isThere ? '' : this.#texts.notFound)
    }

    #stopLoading() {
        if (this.#loading) this.#loading.src = ''
        this.#loading = null
    }

    #replace(picture, message) {
        if (!haveSameSize(picture, this.#picture)) this.#view = null
        this.#picture = picture
        if (!picture) this.#part('.view').style.backgroundImage = ''
        this.#say(message)
        this.draw()
    }

    #say(message) {
        this.#part('.message').textContent = message
    }

    #drawLine() {
        const count = this.#urls.length
        this.#part('.view').classList.toggle('shown', Boolean(this.#picture))
        this.#part('.view').setAttribute('aria-label', this.#label())
        this.#part('.batch').hidden = count < 2
        this.#part('.count').textContent = `${this.#index + 1} / ${count}`
        this.#part('.size').textContent = this.#sizeText()
        this.#part('a').hidden = !this.#picture
        this.#part('a').href = this.#picture?.src ?? ''
    }

    #label() {
        if (!this.#picture) return this.#part('.message').textContent
        const { width, height } = this.#size()
        const place = this.#urls.length < 2 ? [] : [this.#texts.place(this.#index + 1, this.#urls.length)]
        return [this.#texts.panorama, ...place, this.#texts.size(width, height)].join(', ')
    }

    #sizeText() {
        const box = this.#box()
        if (!this.#picture || !box.width) return ''
        const { width, height } = this.#size()
        return `${width} × ${height} px · ${Math.round(this.#currentView().scale * 100)} %`
    }

    #currentView() {
        const view = this.#view ?? firstView(this.#size(), this.#box(), this.#isLoop())
        return limitView(view, this.#size(), this.#box(), this.#isLoop())
    }

    /** Of the picture, in its own px. */
    #size() {
        return { width: this.#picture.naturalWidth, height: this.#picture.naturalHeight }
    }

    /** Of the element, in px of the page before the graph's zoom. */
    #box() {
        const view = this.#part('.view')
        return { width: view.clientWidth, height: view.clientHeight }
    }

    /** How much larger the graph's zoom makes the element. */
    #pageScale() {
        const view = this.#part('.view')
        return view.getBoundingClientRect().width / view.offsetWidth
    }

    /** Of a place on the page, where it is from the middle of the box, in px of the page before the graph's zoom. */
    #fromMiddle({ x, y }) {
        const rectangle = this.#part('.view').getBoundingClientRect()
        const pageScale = this.#pageScale()
        return {
            x: (x - rectangle.x - rectangle.width / 2) / pageScale,
            y: (y - rectangle.y - rectangle.height / 2) / pageScale,
        }
    }
}

/** The middle of one or two points, and how far they are from each other. */
function span([first, second = first]) {
    return {
        x: (first.x + second.x) / 2,
        y: (first.y + second.y) / 2,
        length: Math.hypot(second.x - first.x, second.y - first.y),
    }
}

function haveSameSize(one, other) {
    return one?.naturalWidth === other?.naturalWidth && one?.naturalHeight === other?.naturalHeight
}

/**
 * What to draw of a picture that goes round, from the uppermost layer to the lowest.
 *
 * To repeat it would be enough, but where the seam is in sight the browser blurs a repeated picture that is wider than
 * the graphics card's largest texture, which for some is no more than 8192 px. So the picture next to it, beyond the
 * seam, is drawn for itself; and once more a px nearer, to fill the hair that the page's zoom may leave between them.
 *
 * @param {number} left edge of the picture in the box, at most in the middle of it
 * @param {number} width of the picture, as drawn
 * @param {number} boxWidth
 */
function loopingLayers(left, width, boxWidth) {
    if (width < boxWidth) return [{ left, repeat: 'repeat-x' }]
    const [next, nearer] = left > 0 ? [left - width, left - width + 1] : [left + width, left + width - 1]
    return [left, next, nearer].map((edge) => ({ left: edge, repeat: 'no-repeat' }))
}

/** @returns {number} the nearest multiple of a px of the screen */
function snap(length) {
    return Math.round(length * devicePixelRatio) / devicePixelRatio
}
