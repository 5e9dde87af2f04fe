// How many points of which rule, and of how many pieces the marginal contributions, for the presets, on training
// texts. ARCHIVE, HEAD, DATA and READER name model, LM head, file and reader, TEXTS says how many texts, LAYER the layer
// of all but twenty steps, which are at the embeddings.
local row(steps, rule, marginals=0, layer=std.parseInt(std.extVar("LAYER"))) = {
  type: "decoded-layer-saliency",
  layer: layer,
  aggregation: { type: "integrated-gradients", steps: steps, rule: rule, marginals: marginals },
  lm_head: std.extVar("HEAD"),
  decoded_top_k: 0,
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
  reference: "20 gauss-legendre",
  interpreters: {
    "20 gauss-legendre": row(20, "gauss-legendre", layer=0),
  } + {
    ["%d %s" % points]: row(points[0], points[1])
    for points in [[1, "midpoint"], [3, "midpoint"], [6, "midpoint"]]
               + [[steps, rule] for rule in ["adaptive", "decision"] for steps in [1, 2, 3, 4, 6]]
  } + {
    ["%d adaptive, %d marginals" % numbers]: row(numbers[0], "adaptive", numbers[1])
    for numbers in [[3, 12], [4, 8], [4, 12], [4, 16]]
  },
}
