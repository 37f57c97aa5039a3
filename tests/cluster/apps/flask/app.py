"""An application that knows nothing of traces."""

from flask import Flask

app = Flask(__name__)


@app.get("/hello/<name>")
def hello(name):
    return f"hello {name}\n"
