"""The trainer's room: shards in, a model out, and for every step the documents behind it. Imports nothing of ours.

cli          the commands of `python -m trainer`
recipe       a TOML recipe as frozen dataclasses, and clear errors
recipes/     recipes to start from
start        how a run begins or goes on: everything checked before the first step
train        the loop: read, learn or refuse, evaluate, keep
learner      one step's losses and gradients, over micro-batches and ranks
lanes        micro-batches side by side, a thread of a CPU for each
ranks        the processes of a run, by torchrun's environment
optimizer    Muon and AdamW as one, with a state that has names
muon         Muon for a CPU
products     matrix products in bfloat16, for a CPU that has units for them
schedule     the learning rate of every step
refusal      which steps are not learnt from, and when the run goes back
checkpoint   weights and state, whole and proved by hashes; the last and the best
journal      what a run writes down as it goes
lineage      for every step the documents behind it, with their losses
evaluate     bits per byte by source, samples
progress     what a person sees while a model trains
summary      what the commands print about a model
talk         a model at the terminal
files        files that are written whole or not at all
failures     what may end a command in a foreseen way
run_folder   a corpus's run folder: checked, and read piece by piece
tokenizer    byte-level BPE, trained or given, in the Hugging Face layout
chat_format  a conversation as tokens, and which of them are learnt
encoding     documents to tokens, in the order of their files
splits       what is held out, and the order of documents
packing      documents to token shards, once
shards       token shards by memory map, cut into rows
weights      how much some documents count, as a corpus's corrections say
order        which rows a step reads, by arithmetic
loader       the rows of a step, read ahead
trigram      the baseline that a model has to beat
memory       what a run will take of a device's memory, and what to change where that is too much
tune         `tune`: a search over recipes under a budget of tokens
trials       what came of a search's trials
shared_start what the runs of a search have in common: tokenizer, packed corpus, short recipe
recipe_text  a recipe as TOML
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
