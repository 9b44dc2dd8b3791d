/* The search runs in a worker, and browsers start none for a page that is read from a file. There
   this one runs the worker's script in a hidden frame instead. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.waiting = [];
      const frame = document.createElement("iframe");
      frame.hidden = true;
      const add = () => {
        document.body.appendChild(frame);
        const inner = frame.contentWindow;
        inner.postMessage = (data) => {
          const event = new MessageEvent("message", { data });
          this.dispatchEvent(event);
          if (this.onmessage) this.onmessage(event);
        };
        inner.importScripts = (...scripts) => Promise.all(scripts.map((one) => load(inner, one)));
        load(inner, new URL(url, location).href).then(() => {
          this.inner = inner;
          for (const data of this.waiting) this.postMessage(data);
          this.waiting = [];
        });
      };
      if (document.body) add();
      else addEventListener("DOMContentLoaded", add);
    }

    postMessage(data) {
      if (this.inner) this.inner.dispatchEvent(new this.inner.MessageEvent("message", { data }));
      else this.waiting.push(data);
    }

    terminate() {}
  };

  const load = (inner, address) =>
    new Promise((done, failed) => {
      const script = inner.document.createElement("script");
      script.src = address;
      script.onload = done;
      script.onerror = failed;
      inner.document.head.appendChild(script);
    });
}
