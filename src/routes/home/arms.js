// A coat of arms for every user, drawn from the id: to tell accounts apart at a glance. Only an ornament: the name always
// stands beside it. The rule of tincture holds: a colour on a metal, or a metal on a colour.

const SVG = 'http://www.w3.org/2000/svg';
const SHIELD = 'M2 2h20v11c0 7-5 11-10 13C7 24 2 20 2 13z';
const COLOURS = ['azure', 'gules', 'vert', 'purpure', 'tenne'];
const METALS = ['or', 'argent'];
const CHARGES = [
  'M12 0h12v28H12z', // per pale
  'M0 0h24v10H0z', // a chief
  'M0 10h24v7H0z', // a fess
  'M9 0h6v28H9z', // a pale
  'M0 0h6l18 21v7l-2-1L0 4z', // a bend
  'M24 0h-6L0 21v7l2-1L24 4z', // a bend sinister
  'M12 8l14 13v8L12 16-2 29v-8z', // a chevron
  'M9 0h6v9h9v6h-9v13H9V15H0V9h9z', // a cross
  'M12 0h12v13H12zM0 13h12v15H0z', // quarterly
  'M3 0h18l-9 22z', // a pile
  'M0 0h24L12 13zM0 28V8l12 5zM24 28V8l-12 5z', // a field parted in three
  'M6 0h4v28H6zM14 0h4v28h-4z', // two pallets
];
// What tells apart those whose arms would be the same.
const MARKS = [
  null,
  'M0 0h24v28H0zM5 5v8c0 5 3 8 7 9.7 4-1.7 7-4.7 7-9.7V5z', // a bordure
  'M0 0h9v9H0z', // a canton
];

let drawn = 0;

function shape(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

/** The arms of the user with this id. */
export function arms(id) {
  // The last digits of a UUIDv7 are random.
  let rest = Number.parseInt(id.slice(-8), 16);
  const pick = (list) => {
    const found = list[rest % list.length];
    rest = Math.floor(rest / list.length);
    return found;
  };
  const [charge, colour, metal, swap, mark] = [pick(CHARGES), pick(COLOURS), pick(METALS), pick([true, false]), pick(MARKS)];
  const [field, upon] = swap ? [metal, colour] : [colour, metal];
  const other = METALS.find((name) => name !== metal);
  const clip = `arms-${(drawn += 1)}`;
  const svg = shape('svg', { viewBox: '0 0 24 28', 'aria-hidden': 'true', class: 'arms' });
  const path = shape('clipPath', { id: clip });
  path.append(shape('path', { d: SHIELD }));
  svg.append(path, shape('path', { d: SHIELD, class: field }), shape('path', { d: charge, class: upon, 'clip-path': `url(#${clip})` }));
  if (mark) svg.append(shape('path', { d: mark, class: other, 'fill-rule': 'evenodd', 'clip-path': `url(#${clip})` }));
  svg.append(shape('path', { d: SHIELD, class: 'rim' }));
  return svg;
}
