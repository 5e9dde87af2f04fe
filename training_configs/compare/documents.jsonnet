// As rationales.jsonnet, a part of the rows: documents take long.
local all = import "rationales.jsonnet";
local rows = ["random", "integrated gradients, 20 steps", "fast", "balanced", "best", "simple-gradient"];

all + { interpreters: { [row]: all.interpreters[row] for row in rows } }
