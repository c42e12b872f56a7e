"""What replaces PyTorch's own operators and transformers' own layers, to train faster or in less memory.

products       how matrices are multiplied on this machine: the front of the three below
onednn         fp32 matrix products by oneDNN, on CPUs
widened        bf16 matrix products in fp32, on CPUs that have none of their own
packed_weights weights in the layout that oneDNN multiplies from, for prediction
dropout        random numbers of dropout, on CPUs
attention      attention with dropout, on CPUs
feed_forward   an encoder layer's feed-forward part, with one wide tensor instead of two
first_token    the last layer, for heads that read the first token's state alone
"""
