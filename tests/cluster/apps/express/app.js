// An application that knows nothing of traces.
const express = require("express");

const app = express();
app.get("/hello/:name", (request, response) => response.send(`hello ${request.params.name}\n`));
app.listen(8080);
