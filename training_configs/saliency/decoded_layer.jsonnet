// Decoded layer saliency: an inner layer's saliency, handed to the words which that layer decodes to.
{
  type: "decoded-layer-saliency",
  // 0 is the embedding output, -1 the last block's output; also a list of layers, or "all".
  layer: 1,
  // One gradient, at the midpoint between a masked input and the input. For the gradient at the input itself, as
  // in the paper, layer -2 and gradient-x-input, gradient-norm or grad-cam; or smooth-gradient.
  aggregation: { type: "integrated-gradients", steps: 1, rule: "midpoint" },
  // lm_head: left out, the head of the pretrained model that the classifier was built from. Else:
  // lm_head: { type: "pretrained", model_name: "roberta-base" },
  // lm_head: { type: "from-archive", archive_file: "masked_lm.tar.gz" },
  // lm_head: { type: "tied-embeddings" },
  tau: null,
  normalise: "input",
  target: "logit",
  special_tokens: "zero",
  decoded_top_k: 10,
}
