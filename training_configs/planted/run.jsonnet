// Explanations of training texts, planted or not, for a summary.
local data = import "data.libsonnet";

{
  archive_file: std.extVar("ARCHIVE"),
  data: { path: data.train, reader: data.planted("some"), sample: 4000 },
  interpreters: { fast: { type: "decoded-layer-saliency", preset: "fast" }, "simple-gradient": "simple-gradient" },
  seed: data.seed,
}
