"""The training of one trial, for every form, on one worker or many; it knows no Ray and no store.

loop          the one training loop; `specification`: what it computes, `context`: where it runs
course        where a trial stands and what it has come to; `scores`, `divergence`: of its evaluations and steps
parts, mixture, batching    what optimizer steps draw from, and which rows form a batch
model         encoder and heads; `encoder`: how one is read, `adapters`, `text_head`
vocabulary    the token embedding, of which only used rows are trained; `weights`: what is kept of a model
engine        what the loop asks of an optimizer: `torch_engine` or `deepspeed_engine`; `rates`: how far it steps
resuming, saving, snapshots    when state is saved, how, and which checkpoints are kept to be averaged
passes        forward and backward of micro-batches; `graphs`: as CUDA graphs, on a GPU
randomness, collectives, parameters    draws that follow from the seed, and what workers tell each other
prediction    logits of a model on prepared rows; `lookahead`: one batch after the other, without waiting
transfers     tensors on their way to a GPU and back; `meter`: how fast a trial goes
pretrain      a tiny encoder made from scratch
kernels       what replaces PyTorch's operators and transformers' layers
"""
