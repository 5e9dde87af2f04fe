// How many points of which rule at which layer, and how many ranks that the model decides, for the presets, on training
// texts. ARCHIVE, HEAD, DATA and READER name model, LM head, file and reader, TEXTS says how many texts.
local row(layer, steps, rule, more={}) = {
  type: "decoded-layer-saliency",
  layer: layer,
  aggregation: { type: "integrated-gradients", steps: steps, rule: rule } + more,
  lm_head: std.extVar("HEAD"),
  decoded_top_k: 0,
};
local points = {
  [steps + " " + rule + " at 0"]: row(0, steps, rule)
  for rule in ["midpoint", "latin-hypercube"]
  for steps in (if rule == "midpoint" then [1, 3, 6] else [3, 6, 20])
};
local decided = {
  ["%d midpoints at 0, %d ranks of %d" % numbers]: row(0, numbers[0], "midpoint", { ranks: numbers[1], window: numbers[2] })
  for numbers in [[1, 6, 3], [3, 8, 2], [3, 5, 3], [3, 4, 4], [6, 4, 3]]
};

{
  archive_file: std.extVar("ARCHIVE"),
  data: {
    path: std.extVar("DATA"),
    reader: std.extVar("READER"),
    sample: std.parseInt(std.extVar("TEXTS")),
  },
  metrics: ["comprehensiveness", "sufficiency", "seconds"],
  scores: ["signed"],
  reference: "20 gauss-legendre at 0",
  interpreters: { "20 gauss-legendre at 0": row(0, 20, "gauss-legendre") }
                + points + { "1 midpoint at 1": row(1, 1, "midpoint") } + decided,
}
