// The coherence of ARCHIVE's layers on 1,000 texts of TEST, a file of AG News' form.
{
  archive_file: std.extVar("ARCHIVE"),
  data: { path: std.extVar("TEST"), reader: "ag_news_csv", sample: 1000 },
}
