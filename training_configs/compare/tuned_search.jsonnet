// How to normalise and cut what a fitted head decodes, on training texts. DATA and READER name file and reader.
local rows = import "tuned.libsonnet";

{
  archive_file: std.extVar("ARCHIVE"),
  data: { path: std.extVar("DATA"), reader: std.extVar("READER"), sample: 60 },
  metrics: ["comprehensiveness", "sufficiency"],
  scores: ["signed"],
  interpreters: rows.undecoded
                + rows.decoded(rows.both({ normalise: "input", tau: null }), ", input, all")
                + rows.decoded(rows.both({ normalise: "input", tau: 10 }), ", input, 10")
                + rows.decoded(rows.both({ normalise: "vocabulary", tau: null }), ", vocabulary, all"),
}
