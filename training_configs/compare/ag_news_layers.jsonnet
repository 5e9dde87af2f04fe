(import "layers.libsonnet")({ path: std.extVar("TEST"), reader: "ag_news_csv", sample: 200 })
