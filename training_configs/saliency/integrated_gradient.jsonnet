// AllenNLP's own interpreter; it takes no settings.
{ type: "integrated-gradient" }
