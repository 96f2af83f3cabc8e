"""The trainer's room: shards in, a model out, and for every step the documents behind it. Imports nothing of ours.

cli          the commands of `python -m trainer`
recipe       a TOML recipe as frozen dataclasses, and clear errors
recipes/     recipes to start from
failures     what may end a command in a foreseen way
run_folder   a corpus's run folder: checked, and read piece by piece
tokenizer    byte-level BPE, trained or given, in the Hugging Face layout
chat_format  a conversation as tokens, and which of them are learnt
encoding     documents to tokens, in the order of their files
splits       what is held out, and the order of documents
packing      documents to token shards, once
shards       token shards by memory map, cut into rows
order        which rows a step reads, by arithmetic
loader       the rows of a step, read ahead
trigram      the baseline that a model has to beat
memory       what a run will take of a device's memory, and what to change where that is too much
tune         `tune`: a search over recipes under a budget of tokens
search_space a TOML file of keys and what they may be
scale        `scale`: small runs, a law of size and data, advice for a budget
power_law    L(N, D) fitted, with intervals
search_report the pages of tune and scale
model        the transformer, and the dial that derives its shape
attention    who may look at whom, by the kernel a device does best; the cache of keys and values
head         the loss of every target, without logits of the whole batch
fused        norm, rotation and gate in single passes on a CPU
generate     text from a model, token by token
huggingface  folders that transformers loads, written and read
adapters     low-rank adapters on a model's matrices
"""
