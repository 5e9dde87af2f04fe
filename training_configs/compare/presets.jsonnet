// The presets beside twenty steps of integrated gradients, on texts that chose nothing. ARCHIVE, HEAD, DATA and READER
// (JSON) name model, LM head, file and reader, TEXTS says how many texts, INNER is the predictor that reads a line.
local preset(name) = {
  type: "decoded-layer-saliency",
  preset: name,
  lm_head: std.extVar("HEAD"),
  decoded_top_k: 0,
};

{
  archive_file: std.extVar("ARCHIVE"),
  inner: std.extVar("INNER"),
  data: {
    path: std.extVar("DATA"),
    reader: std.parseJson(std.extVar("READER")),
    sample: std.parseInt(std.extVar("TEXTS")),
  },
  metrics: ["comprehensiveness", "sufficiency", "seconds"],
  scores: ["signed"],
  reference: "integrated gradients, 20 steps",
  interpreters: {
    random: "random",
    "integrated gradients, 20 steps": {
      type: "layer-saliency",
      layer: 0,
      aggregation: { type: "integrated-gradients", steps: 20, rule: "gauss-legendre" },
    },
    fast: preset("fast"),
    balanced: preset("balanced"),
    best: preset("best"),
  },
}
