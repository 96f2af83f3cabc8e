"""Tags by kind: what ends a block, what is never shown, what has no end tag, and which ancestors are worth knowing."""

VOID = "area base basefont bgsound br col embed frame hr img input keygen link meta param source track wbr".split()
# Serialised as they are, without escapes: only their own end tag ends them.
RAW = "script style xmp iframe noembed noframes plaintext".split()
HIDDEN = (
    "script style template svg iframe canvas audio video option optgroup textarea datalist head applet noembed "
    "noframes xmp rp rt frameset progress meter"
).split()
INLINE = (
    "a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd label mark nobr q s samp small span strike "
    "strong sub sup time tt u var wbr ruby rb math mi mn mo mrow msup msub mfrac mtext mstyle semantics annotation "
    "picture img source input slot annotation-xml msqrt mover munder msubsup mtable mtr mtd menclose mspace mpadded"
).split()
HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
# Ancestors that get a bit each; the first ones become features.
KIN = (
    "article", "main", "section", "aside", "nav", "header", "footer", "form", "table", "ul", "ol", "li", "dl", "dd",
    "dt", "blockquote", "figure", "figcaption", "pre", "a", "button", "details", "summary", "dialog", "td", "th", "p",
    "label", "fieldset", "center", "h1", "h2", "h3", "h4", "h5", "h6", "tr", "caption", "address", "noscript", "div",
    "span",
)  # fmt: skip
OTHER = "html body title code strong b em i tt kbd samp br thead tbody tfoot math".split()
NAMES = tuple(dict.fromkeys([*KIN, *OTHER, *VOID, *RAW, *HIDDEN, *INLINE]))
TAG = {name: number for number, name in enumerate(NAMES, 1)}  # 0 is any other tag, custom elements too: a block

IS_VOID, IS_RAW, IS_HIDDEN, IS_INLINE, IS_STRONG, IS_EMPHASIS, IS_CODE = (1 << n for n in range(7))


def kinds() -> list[int]:
    """Bits of each tag by its number."""
    groups = (VOID, RAW, HIDDEN, INLINE, ("strong", "b"), ("em", "i"), ("code", "tt", "kbd", "samp"))
    return [0] + [sum(1 << bit for bit, group in enumerate(groups) if name in group) for name in NAMES]


def kin_bits() -> list[int]:
    """The bit of each tag among its descendants' ancestors, by the tag's number."""
    return [0] + [1 << KIN.index(name) if name in KIN else 0 for name in NAMES]
