"""The evaluator's room: what a model gets wrong, which documents stand behind it, and what to correct. Reads all rooms.

cli             the commands of `python -m eval`
intervals       bootstrap over documents or prompts, Wilson
detection       how well a score finds what it should, with intervals
chance          draws that depend on their keys alone
documents       documents of a run or of a file, and which of them are held out
suites          a suite: a versioned file of items with prompts, choices and slices
suite_makers    suites from the documents of a run: facts, sentence order, relevance
mentions        entities, dates and numbers in a text, by their form
public_suites   LAMBADA, BLiMP, ARC, PIQA, BoolQ, Winogrande from local files
synthetic_facts invented people whose facts are known, as documents and as probes
text_checks     what can be said of a generated text without a model
instructions    instructions that a program can check
planting        bad data of eight kinds put among documents, with a sealed list
planted_phrases, foreign_sentences
                what those say
hard_negatives  good documents that look bad
retrieval       from a text to the documents behind it
attribute       from a model's errors to the documents behind them: the command
ladder          its stages: recall, hidden states, loss drop, gradients, fused
mistakes        errors: what was asked, said, and should have been said
pieces          documents and answers as rows of tokens
loss_drop       whose loss falls when the model learns the wrong answer
gradients       gradients of documents, projected by layer
whitening       what gradients are divided by
proof           documents learnt once more, or left out
evidence        the words that an error and a document share
costs           what a stage took
attribution_table
                the result as a table
corrections     proposals for a corpus, and a person's name under them
ratings         votes of people on pairs of texts: what is next, what was said
rating_report   what the votes say
agreement       Krippendorff's alpha
strength        Bradley-Terry with ties
serve           the rating page, on this machine alone
document_losses nats of each token of texts, in windows that slide
perplexity      bits per byte of documents by any column, with intervals
suite_scores    a suite's items under a model, and what they come to by slice
harness, harness_command
                lm-evaluation-harness on a checkpoint; `harness`
results         a folder of results: what was asked and what came out
scoring_commands
                `perplexity` and `suite score`
flag            the command `flag`
flagged         documents that are probably bad, ranked, with what speaks against each
signals         every bad-data signal of every document, in one table
text_signals    what a text shows without a model
shared_text     how much of a document stands in other documents too
sentence_cues   signs of sentences out of order
learned_order   which sentence follows which, learnt from the documents themselves
names_in_place  names that belong elsewhere, learnt from the documents themselves
first_seen      what the trainer's lineage says of each document
forwards        the loss of every token beside its bytes, for signals
loss_shape      how many tokens are known by heart, how many surprise, and where
gradient_signals
                which documents pull a model away from trusted text
detrend         how unusual a value is for its source, length and time
detector        from signals to a calibrated probability, with the evidence
detector_training
                learning a detector from labelled documents
detectors/      the shipped ones, one for each rung
errors          failures of every kind in one table
hard_passages   where held-out text surprises a model most
error_clusters  failures that are alike
error_page, error_commands
                the same as one page; `errors`
page            one file that loads nothing: tables, intervals, cards
compare         two models' results on the same items: paired differences
compare_commands
                the same as a page; `compare`
generated       samples of a model beside what people wrote, and checks of both
model_checks    what a reference model says of samples
judges          who prefers which text: nobody, a model's likelihoods, an address, a local folder
loop            the whole turn: plant, train, find, correct, rebuild, train again, compare
generate_commands
                `generate` and `judge`
loop_stages, loop_report, loop_commands
                its stages, its report; `loop`
pages/          what that page is made of
"""
