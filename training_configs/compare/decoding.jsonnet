// What decoding does for texts or pairs: the default and twenty steps of integrated gradients, decoded and not.
// The variables are those of rationales.jsonnet.
local rationales = import "rationales.jsonnet";
local paths = {
  "3 points": { type: "integrated-gradients", steps: 3, rule: "decision" },
  "20 steps": { type: "integrated-gradients", steps: 20, rule: "gauss-legendre" },
};
local row(type, name) = { type: type, layer: 0, aggregation: paths[name] };

rationales {
  reference: "20 steps",
  interpreters: { random: "random" } + {
    [name]: row("layer-saliency", name)
    for name in std.objectFields(paths)
  } + {
    [name + ", decoded"]: row("decoded-layer-saliency", name) + { decoded_top_k: 0 }
    for name in std.objectFields(paths)
  },
}
