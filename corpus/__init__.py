"""The corpus room: raw input to a run folder of shards, ledger, signals and report. Reads filters, never torch.

cli          the commands of `python -m corpus`
build        check everything, run the stages, prove the books
recipe       a TOML recipe as frozen dataclasses, and clear errors
recipes/     recipes to start from
plan         input files cut into parts
files        finding and opening files, here and wherever Beam can
readers/     bytes of a file to records
charset      bytes to characters
extraction/  a page to its main text
metadata     title, author, date and language that a page states
dates        dates as pages and books write them, to ISO 8601
normalise    text repaired and in one form
extract      first stage: records to documents
measure      second stage: signals, edits, dedup keys
documents    both for one part, on a worker
edited       documents with edits carried out
decide       rules on signals
dedup/       what is a duplicate of what
duplicates   third stage: dedup on a run folder
against      earlier runs whose documents are not to come again
corrections  what a person has signed: documents to block, mask or weigh, sources to add
write        last stage: docs, ledger, signals, duplicates, edits
manifest     conservation proved, and what the run is made of
schema       the columns of every file
parts        part files, whole or not there
marks        fingerprints: what a result depends on
workers      processes that may die
preload      what they all need, loaded once
guard        which document a worker is at, and for how long
scratch      temporary folders, and those that the killed left behind
failures     what may end a command in a foreseen way
lock         one build at a time in a folder or a store
store        a build whose run lies in a store
fetch        such a run, brought here
progress     what a person sees meanwhile
transforms   the Beam coats
pipeline     the Beam pipelines
estimate     what a build will give and cost
elsewhere    a build on another runner
sample       a real input without a network
sample_pages, sample_topics, sample_functions, sample_planted
             what it is made of: documentation, language reference, docstrings, known defects
views        a run opened in DuckDB
terminal     what the commands print, for a person and for a pipe
ending       the end of a command, at once
ask          `sql`
why          the life of one document
diff         what changed from one run to another
remove       `remove`: a takedown
takedown     a part's files without some documents
tombstones   what must stay out for ever
lineage      which models were trained on what
replay       a run decided again with other thresholds
whatif       what that would have changed
report       the run in the terminal
report_html  the run as one page
reports/     one SQL file per table of the report
"""
