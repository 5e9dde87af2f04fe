// Decoded layer saliency: an inner layer's saliency, handed to the words which that layer decodes to.
{
  type: "decoded-layer-saliency",
  // 0 is the embedding output, -1 the last block's output; also a list of layers, or "all".
  layer: -2,
  // Or gradient-norm, grad-cam, integrated-gradients, smooth-gradient.
  aggregation: { type: "gradient-x-input" },
  // lm_head: left out, the head of the pretrained model that the classifier was built from. Else:
  // lm_head: { type: "pretrained", model_name: "roberta-base" },
  // lm_head: { type: "from-archive", archive_file: "masked_lm.tar.gz" },
  // lm_head: { type: "tied-embeddings" },
  tau: 10,
  normalise: "input",
  target: "logit",
  special_tokens: "zero",
  decoded_top_k: 10,
}
