// The live view: one picture with its faces' boxes, and a card of bars for each face. It is drawn anew several times a
// second, so what stands already is changed in place: nothing flickers, and a reader's place is kept.

const setText = (node, text) => {
  if (node.textContent !== text) node.textContent = text
}

// Have `parent` hold one child for each of `items`, those of the same key kept.
const update = (parent, items, make, fill) => {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]))
  items.forEach((item, place) => {
    const key = String(item.key)
    let child = old.get(key)
    old.delete(key)
    if (!child) {
      child = make(item)
      child.dataset.key = key
    }
    if (parent.children[place] !== child) parent.insertBefore(child, parent.children[place] ?? null)
    fill(child, item)
  })
  old.forEach((child) => child.remove())
}

const element = (name, className, ...children) => {
  const node = document.createElement(name)
  node.className = className
  node.append(...children)
  return node
}

const makeBox = () => element("div", "box", element("span", "label"))

const fillBox = (box, face) => {
  const [left, top, right, bottom] = face.box
  box.style.left = `${100 * left}%`
  box.style.top = `${100 * top}%`
  box.style.width = `${100 * (right - left)}%`
  box.style.height = `${100 * (bottom - top)}%`
  box.style.setProperty("--colour", face.colour)
  box.classList.toggle("uncertain", face.uncertain)
  box.classList.toggle("low", top < 0.08)
  setText(box.firstChild, face.title)
}

const makeCard = () => element("section", "card", element("h4", ""), element("p", ""), element("div", "bars"))

const makeBar = () =>
  element("div", "bar", element("span", "name"), element("span", "track", element("span", "fill")), element("span", "value"))

const fillBar = (bar, value) => {
  const [name, track, told] = bar.children
  setText(name, value.name)
  track.firstChild.style.width = `${100 * value.share}%`
  track.firstChild.style.background = value.colour
  setText(told, value.told)
}

const fillCard = (card, face) => {
  const [title, note, bars] = card.children
  setText(title, face.title)
  setText(note, face.note)
  update(bars, face.bars.map((bar) => ({ ...bar, key: bar.name })), makeBar, fillBar)
}

export default function ({ data, parentElement }) {
  const picture = parentElement.querySelector("img")
  const stage = parentElement.querySelector(".stage")
  stage.style.aspectRatio = `${data.width} / ${data.height}`
  // One picture a frame: what cannot be shown in time is left out.
  const source = `data:image/jpeg;base64,${data.jpeg}`
  if (picture.src !== source) picture.src = source
  picture.alt = data.alt
  const faces = data.faces.map((face) => ({ ...face, key: face.id }))
  update(parentElement.querySelector(".boxes"), faces, makeBox, fillBox)
  update(parentElement.querySelector(".cards"), faces, makeCard, fillCard)
}
