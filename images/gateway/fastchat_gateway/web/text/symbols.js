// TeX's names of signs, each with the character that it is.

function table(text) {
  return new Map(text.trim().split(/\s+/).map((pair) => pair.split(":")));
}

/** Written as identifiers. */
export const LETTERS = table(`
  alpha:α beta:β gamma:γ delta:δ epsilon:ϵ varepsilon:ε zeta:ζ eta:η theta:θ vartheta:ϑ iota:ι kappa:κ lambda:λ mu:μ
  nu:ν xi:ξ omicron:ο pi:π varpi:ϖ rho:ρ varrho:ϱ sigma:σ varsigma:ς tau:τ upsilon:υ phi:ϕ varphi:φ chi:χ psi:ψ omega:ω
  Gamma:Γ Delta:Δ Theta:Θ Lambda:Λ Xi:Ξ Pi:Π Sigma:Σ Upsilon:Υ Phi:Φ Psi:Ψ Omega:Ω
  infty:∞ partial:∂ nabla:∇ hbar:ℏ ell:ℓ Re:ℜ Im:ℑ aleph:ℵ emptyset:∅ varnothing:∅ imath:ı jmath:ȷ wp:℘ angle:∠
  top:⊤ bot:⊥ dagger:† ddagger:‡ degree:° square:□ Box:□ triangle:△ checkmark:✓ complement:∁ prime:′ S:§ P:¶
`);

/** Written as operators, relations and arrows. */
export const OPERATORS = table(`
  cdot:⋅ times:× div:÷ pm:± mp:∓ ast:∗ star:⋆ circ:∘ bullet:∙ oplus:⊕ ominus:⊖ otimes:⊗ odot:⊙ wedge:∧ vee:∨ land:∧
  lor:∨ neg:¬ lnot:¬ cap:∩ cup:∪ setminus:∖ bmod:mod
  leq:≤ le:≤ geq:≥ ge:≥ neq:≠ ne:≠ equiv:≡ approx:≈ sim:∼ simeq:≃ cong:≅ propto:∝ ll:≪ gg:≫ prec:≺ succ:≻ preceq:⪯
  succeq:⪰ subset:⊂ supset:⊃ subseteq:⊆ supseteq:⊇ subsetneq:⊊ in:∈ notin:∉ ni:∋ mid:∣ nmid:∤ parallel:∥ perp:⊥
  models:⊨ vdash:⊢ forall:∀ exists:∃ nexists:∄ therefore:∴ because:∵ colon: coloneqq:≔ triangleq:≜ doteq:≐ asymp:≍
  to:→ rightarrow:→ leftarrow:← gets:← leftrightarrow:↔ Rightarrow:⇒ Leftarrow:⇐ Leftrightarrow:⇔ implies:⟹ iff:⟺
  mapsto:↦ longrightarrow:⟶ longleftarrow:⟵ Longrightarrow:⟹ uparrow:↑ downarrow:↓ Uparrow:⇑ Downarrow:⇓ hookrightarrow:↪
  rightharpoonup:⇀ rightleftharpoons:⇌ nearrow:↗ searrow:↘ xrightarrow:→
  ldots:… dots:… cdots:⋯ vdots:⋮ ddots:⋱ dotsc:… dotsb:⋯
  langle:⟨ rangle:⟩ lfloor:⌊ rfloor:⌋ lceil:⌈ rceil:⌉ lbrace:{ rbrace:} lvert:| rvert:| lVert:‖ rVert:‖ vert:| Vert:‖
  backslash:\\ lbrack:[ rbrack:] lt:< gt:> And:& And:&
`);

/** Large ones, whose limits stand below and above where there is room. */
export const LARGE = table(`
  sum:∑ prod:∏ coprod:∐ bigcup:⋃ bigcap:⋂ bigvee:⋁ bigwedge:⋀ bigoplus:⨁ bigotimes:⨂ bigsqcup:⨆
`);

/** Integrals, whose limits stand beside them. */
export const INTEGRALS = table("int:∫ iint:∬ iiint:∭ oint:∮");

/** Functions; those of the second kind have limits below. */
export const FUNCTIONS = new Set(
  "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh coth log ln lg exp arg deg dim hom ker Pr".split(" "),
);
export const LIMITS = new Set("lim liminf limsup max min sup inf argmax argmin det gcd".split(" "));

/** Marks over or under a letter. */
export const ACCENTS = table(`
  hat:^ widehat:^ bar:¯ overline:¯ vec:→ overrightarrow:→ dot:˙ ddot:¨ tilde:~ widetilde:~ check:ˇ breve:˘ acute:´
  grave:\` mathring:˚
`);

/** Spaces, in em. */
export const SPACES = new Map(Object.entries({
  ",": "0.167em", ":": "0.222em", ">": "0.222em", ";": "0.278em", "!": "-0.167em", " ": "0.25em", quad: "1em", qquad: "2em",
  enspace: "0.5em", thinspace: "0.167em", "~": "0.25em",
}));

/** Alphabets: the name of a command → MathML's name of the same, or a style. */
export const ALPHABETS = new Map(Object.entries({
  mathrm: "normal", mathbf: "bold", boldsymbol: "bold-italic", bm: "bold-italic", mathit: "italic", mathbb: "double-struck",
  mathcal: "script", mathscr: "script", mathfrak: "fraktur", mathsf: "sans-serif", mathtt: "monospace", operatorname: "normal",
}));

const BASES = {
  bold: [0x1d400, 0x1d41a, 0x1d7ce], "bold-italic": [0x1d468, 0x1d482, 0x1d7ce], "double-struck": [0x1d538, 0x1d552, 0x1d7d8],
  script: [0x1d49c, 0x1d4b6, 0], fraktur: [0x1d504, 0x1d51e, 0], "sans-serif": [0x1d5a0, 0x1d5ba, 0x1d7e2],
  monospace: [0x1d670, 0x1d68a, 0x1d7f6],
};
const EXCEPTIONS = {
  "double-struck": { C: "ℂ", H: "ℍ", N: "ℕ", P: "ℙ", Q: "ℚ", R: "ℝ", Z: "ℤ" },
  script: { B: "ℬ", E: "ℰ", F: "ℱ", H: "ℋ", I: "ℐ", L: "ℒ", M: "ℳ", R: "ℛ", e: "ℯ", g: "ℊ", o: "ℴ" },
  fraktur: { C: "ℭ", H: "ℌ", I: "ℑ", R: "ℜ", Z: "ℨ" },
};

/** A letter or digit in an alphabet: Unicode has a character of its own for each. */
export function inAlphabet(character, alphabet) {
  const bases = BASES[alphabet];
  if (!bases) return character;
  const known = EXCEPTIONS[alphabet]?.[character];
  if (known) return known;
  const starts = [["A", "Z"], ["a", "z"], ["0", "9"]];
  const kind = starts.findIndex(([first, last]) => character >= first && character <= last);
  if (kind < 0 || !bases[kind]) return character;
  return String.fromCodePoint(bases[kind] + character.codePointAt(0) - starts[kind][0].codePointAt(0));
}
