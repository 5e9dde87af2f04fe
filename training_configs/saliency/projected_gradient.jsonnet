// The layer's gradient projected onto the LM head's output embeddings, at the words it decodes to.
{
  type: "projected-gradient-saliency",
  layer: -1,
  tau: null,
  normalise: "input",
}
