"""Text that no person was meant to read: shortcodes and templates that nothing rendered, debug output, placeholders."""

import re

# [vc_row attr="x"], [/vc_row], [caption id=..]: a name of two parts, or attributes; so that "[sic]" and "[1]" stay
SHORTCODE = re.compile(
    r"\[/?[a-z][a-z0-9]*[_-][a-z0-9_-]*(?:\s[^\[\]\n]{0,300})?/?\]"
    r"|\[[a-z]{3,20}(?:\s+[a-z_-]{2,20}=[^\[\]\n]{1,300})+/?\]"
    r"|\[/(?:caption|gallery|embed|audio|video|button|columns?|row|tabs?|section|toggle|accordion)\]"
)
TEMPLATE = re.compile(r"\{\{[^{}\n]{0,200}\}\}|\{%[^{}\n]{0,200}%\}|<%[^\n]{0,200}?%>|<\?php[^\n]{0,500}?(?:\?>|$)")
DEBUG = re.compile(
    r"^(?:(?:PHP )?(?:Warning|Notice|Fatal error|Parse error|Deprecated|Strict Standards): .{0,400} on line \d+"
    r"|(?:Array|stdClass Object)\s*\($|Traceback \(most recent call last\):"
    r"|(?:undefined|null|NaN|\[object Object\])$"
    r"|DEBUG[: ].{0,300}$)",
    re.DOTALL,
)
SCRIPT = re.compile(
    r"^(?:window\.|document\.|var [\w$]+ ?=|\(function|!function|function ?\w*\([\w, ]*\) ?\{|jQuery\(|\$\(|"
    r"googletag\.|@media |@import |@font-face|\.[\w-]+ ?\{ ?[a-z-]+ ?:|#[\w-]+ ?\{ ?[a-z-]+ ?:|<!\[CDATA\[)"
)
PLACEHOLDER = "orem ipsum dolor sit amet"


def readable(text: str) -> str:
    """The text without machine text; empty where all of it is. Not for code."""
    if "[" in text and "]" in text:
        text = SHORTCODE.sub("", text)
    if "{{" in text or "{%" in text or "<%" in text or "<?php" in text:
        text = TEMPLATE.sub("", text)
    if not text.strip() or DEBUG.match(text) or SCRIPT.match(text) or PLACEHOLDER in text:
        return ""
    return text.strip()
