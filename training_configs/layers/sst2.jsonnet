// The coherence of ARCHIVE's layers on SST-2's 872 development sentences, in the folder DATA.
{
  archive_file: std.extVar("ARCHIVE"),
  data: { path: std.extVar("DATA") + "/dev.tsv", reader: "sst2_tsv" },
  lm_heads: { pretrained: { type: "pretrained" }, tied: { type: "tied-embeddings" } },
}
