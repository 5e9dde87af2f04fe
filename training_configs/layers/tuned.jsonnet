// The coherence of ARCHIVE's layers with a fitted head, HEAD, beside others, on texts that it was not fitted to.
// DATA and READER name file and reader, TEXTS says how many texts.
{
  archive_file: std.extVar("ARCHIVE"),
  data: {
    path: std.extVar("DATA"),
    reader: std.extVar("READER"),
    sample: std.parseInt(std.extVar("TEXTS")),
  },
  lm_heads: {
    pretrained: { type: "pretrained" },
    tied: { type: "tied-embeddings" },
    tuned: { type: "tuned", path: std.extVar("HEAD") },
  },
}
