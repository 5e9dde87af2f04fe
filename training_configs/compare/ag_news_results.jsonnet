(import "results.libsonnet")(
  { path: std.extVar("TEST"), reader: "ag_news_csv", sample: 500 },
  ["comprehensiveness", "sufficiency", "log_odds", "seconds"],
)
