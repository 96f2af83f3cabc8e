"""The learned extractor behind the engine `blocks`: bytes of a page to blocks, blocks to probabilities, those to text.

parse      hostile or broken HTML to well-formed HTML (Lexbor), in bounded time
names      tags by kind
cues       words of class names and of short texts that tell content from boilerplate
automaton  many words looked for in one pass
arrays     what a page becomes
walk       well-formed HTML to flat arrays of elements and blocks, in one compiled pass
tags, attributes, characters   what that pass reads
measures   what the bytes of each block say
features   one row of numbers per block: its text, its containers, its neighbours, its page
tame       tags that would make a parser slow
outline    where a block stands: heading, item, cell, quotation
release    the version
forest     decision trees on those rows
model      the shipped trees and their card
wholes     tables, lists and code taken whole
select     the set of blocks of highest expected F1
render     chosen blocks to plain text or Markdown
machine    blocks that no person was meant to read
hydration  text that only scripts carry
"""
