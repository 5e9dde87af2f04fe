// A head for each layer of ARCHIVE, fitted to 2,000 texts of DATA, which READER reads.
{
  archive_file: std.extVar("ARCHIVE"),
  data: { path: std.extVar("DATA"), reader: std.extVar("READER"), sample: 2000 },
}
