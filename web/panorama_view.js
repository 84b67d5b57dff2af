/**
 * What part of a picture is seen through a box, as plain numbers: no page, no events.
 *
 * @typedef {{width: number, height: number}} Size in px
 * @typedef {{x: number, y: number}} Point
 * @typedef {{x: number, y: number, scale: number}} View the point of the picture, in its own px, that lies in the
 *     middle of the box, and how many px of the page one px of the picture takes
 */

/** One px of the picture is at most so many px of the page wide, unless the whole picture is smaller than the box. */
const LARGEST_SCALE = 16

/**
 * The view to begin with: the whole picture, or, where it goes round and round, as high as the box.
 *
 * @param {Size} picture
 * @param {Size} box
 * @param {boolean} loop
 * @returns {View}
 */
export function firstView(picture, box, loop) {
    const scale = loop ? box.height / picture.height : wholeScale(picture, box)
    return { x: picture.width / 2, y: picture.height / 2, scale }
}

/**
 * Move the picture along with the pointer.
 *
 * @param {View} view
 * @param {Point} distance in px of the page
 * @returns {View}
 */
export function pan(view, distance) {
    return { ...view, x: view.x - distance.x / view.scale, y: view.y - distance.y / view.scale }
}

/**
 * Enlarge the picture; what lies at `point` stays there.
 *
 * @param {View} view
 * @param {number} scale the new one
 * @param {Point} point in px of the page, from the middle of the box
 * @returns {View}
 */
export function zoom(view, scale, point) {
    const shift = 1 / view.scale - 1 / scale
    return { x: view.x + point.x * shift, y: view.y + point.y * shift, scale }
}

/**
 * @param {number} scale
 * @param {Size} picture
 * @param {Size} box
 * @returns {number} the nearest scale to look at this picture with: no smaller than the whole of it
 */
export function limitScale(scale, picture, box) {
    const smallest = wholeScale(picture, box)
    return clamp(scale, smallest, Math.max(smallest, LARGEST_SCALE, box.height / picture.height))
}

/**
 * The nearest view that shows no more emptiness than it must: up and down, and sideways without `loop`, it stops at
 * the picture's edges.
 *
 * @param {View} view
 * @param {Size} picture
 * @param {Size} box
 * @param {boolean} loop
 * @returns {View}
 */
export function limitView(view, picture, box, loop) {
    const scale = limitScale(view.scale, picture, box)
    return {
        x: loop ? modulo(view.x, picture.width) : limitCentre(view.x, picture.width, box.width / scale),
        y: limitCentre(view.y, picture.height, box.height / scale),
        scale,
    }
}

/**
 * @param {View} view
 * @param {Size} box
 * @returns {Point} where in the box the picture's upper left corner lies, in px of the page
 */
export function cornerOf(view, box) {
    return { x: box.width / 2 - view.x * view.scale, y: box.height / 2 - view.y * view.scale }
}

function wholeScale(picture, box) {
    return Math.min(box.width / picture.width, box.height / picture.height)
}

/** @returns {number} the nearest centre to `centre` of a window of `seen` px that stays within `length` px */
function limitCentre(centre, length, seen) {
    return seen >= length ? length / 2 : clamp(centre, seen / 2, length - seen / 2)
}

function clamp(value, smallest, largest) {
    return Math.min(Math.max(value, smallest), largest)
}

/** @returns {number} in 0..divisor, for negative values too */
function modulo(value, divisor) {
    return ((value % divisor) + divisor) % divisor
}
