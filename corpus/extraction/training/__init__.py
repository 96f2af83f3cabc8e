"""How the model of `blocks` is made: python -m corpus.extraction train

gold      pages with what is known of their text
folds     which sites are held out together
align     gold text to labels of blocks
augment   short copies of articles
layouts   pages drawn around articles, with rails of teasers
examples  rows to learn from, of gold, changed and silver pages
fit       trees grown, and turned into arrays
scores    word-F1, and snippets found
crossed   every gold page scored by a model that saw no page of its site
command   the command line
"""
