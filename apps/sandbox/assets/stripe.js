/* A stand-in for Stripe.js, for pages that talk to the sandbox. It knows the Payment Element and the
   calls around it; it takes test cards only. Load it as {sandbox}/v3/ in place of https://js.stripe.com/v3/. */
(function () {
  "use strict";

  var origin = new URL(document.currentScript ? document.currentScript.src : location.href).origin;

  function call(method, path, fields) {
    var body = new URLSearchParams();
    Object.keys(fields).forEach(function (name) {
      if (fields[name] !== undefined && fields[name] !== null) body.append(name, fields[name]);
    });
    var url = origin + path;
    var options = { method: method };
    if (method === "GET") url += "?" + body.toString();
    else options.body = body;
    return fetch(url, options).then(
      function (response) { return response.json(); },
      function () {
        return { error: { type: "api_connection_error", message: "An error occurred with our connection to Stripe." } };
      }
    );
  }

  function make(tag, properties, children) {
    var element = document.createElement(tag);
    Object.assign(element, properties || {});
    (children || []).forEach(function (child) { element.append(child); });
    return element;
  }

  function style(element, rules) {
    Object.assign(element.style, rules);
    return element;
  }

  /* What Stripe.js throws when a page uses it wrongly. */
  function misuse(message) {
    var error = new Error(message);
    error.name = "IntegrationError";
    return error;
  }

  function Emitter() { this.listeners = {}; }
  Emitter.prototype.on = function (name, listener) {
    (this.listeners[name] = this.listeners[name] || []).push(listener);
    return this;
  };
  Emitter.prototype.off = function (name, listener) {
    this.listeners[name] = (this.listeners[name] || []).filter(function (one) { return one !== listener && listener; });
    return this;
  };
  Emitter.prototype.once = function (name, listener) {
    var self = this;
    return this.on(name, function once(event) { self.off(name, once); listener(event); });
  };
  Emitter.prototype.emit = function (name, event) {
    (this.listeners[name] || []).slice().forEach(function (listener) { listener(event); });
  };

  var CARDS = [
    ["4242 4242 4242 4242", "succeeds"],
    ["4000 0000 0000 0002", "declined"],
    ["4000 0000 0000 9995", "insufficient funds"],
    ["4000 0027 6000 3184", "3-D Secure"]
  ];

  function PaymentElement(kind, options) {
    Emitter.call(this);
    this.kind = kind;
    this.options = options || {};
    this.card = "";
  }
  PaymentElement.prototype = Object.create(Emitter.prototype);

  PaymentElement.prototype.mount = function (target) {
    var self = this;
    var host = typeof target === "string" ? document.querySelector(target) : target;
    if (!host) throw misuse("The selector you specified (" + target + ") applies to no DOM elements that are currently on the page.");
    var id = "sandbox-card-" + Math.random().toString(36).slice(2);
    var input = this.input = style(
      make("input", { id: id, type: "text", inputMode: "numeric", autocomplete: "off", placeholder: CARDS[0][0] }),
      { width: "100%", boxSizing: "border-box", padding: "0.7em", font: "inherit", border: "1px solid #8888", borderRadius: "6px" }
    );
    input.setAttribute("aria-label", "Card number");
    var error = this.error = style(make("p", {}), { color: "#b42318", margin: "0.4em 0" });
    error.setAttribute("role", "alert");
    var buttons = style(make("div", {}), { display: "flex", gap: "0.4em", flexWrap: "wrap", margin: "0.5em 0" });
    CARDS.forEach(function (card) {
      var button = style(make("button", { type: "button", textContent: "•••• " + card[0].slice(-4) + " " + card[1] }), { font: "inherit", fontSize: "0.85em" });
      button.addEventListener("click", function () { input.value = card[0]; self.changed(); });
      buttons.append(button);
    });
    this.root = make("div", {}, [
      style(make("label", { htmlFor: id, textContent: "Card number (sandbox: test cards only)" }), { display: "block", marginBottom: "0.3em" }),
      input, error, buttons
    ]);
    host.replaceChildren(this.root);
    input.addEventListener("input", function () { self.changed(); });
    input.addEventListener("focus", function () { self.emit("focus", { elementType: self.kind }); });
    input.addEventListener("blur", function () { self.emit("blur", { elementType: self.kind }); });
    setTimeout(function () {
      self.emit("loaderstart", { elementType: self.kind });
      self.emit("ready", { elementType: self.kind });
    }, 0);
    return this;
  };

  PaymentElement.prototype.changed = function () {
    this.card = this.input.value.replace(/[^0-9]/g, "");
    this.error.textContent = "";
    this.emit("change", {
      elementType: this.kind, empty: this.card === "", complete: this.card.length >= 15, collapsed: false, value: { type: "card" }
    });
  };

  PaymentElement.prototype.problem = function () {
    var message = !this.card ? "Your card number is incomplete." : this.card.length < 12 ? "Your card number is incomplete." : null;
    if (!message) return undefined;
    this.error.textContent = message;
    return { type: "validation_error", code: "incomplete_number", message: message };
  };
  PaymentElement.prototype.update = function (options) { Object.assign(this.options, options); return this; };
  PaymentElement.prototype.focus = function () { if (this.input) this.input.focus(); };
  PaymentElement.prototype.blur = function () { if (this.input) this.input.blur(); };
  PaymentElement.prototype.clear = function () { if (this.input) { this.input.value = ""; this.changed(); } };
  PaymentElement.prototype.collapse = function () {};
  PaymentElement.prototype.unmount = function () { if (this.root) this.root.remove(); };
  PaymentElement.prototype.destroy = PaymentElement.prototype.unmount;

  function Elements(options) {
    this.options = options || {};
    this.made = {};
    this.submitted = false;
  }
  Elements.prototype.create = function (kind, options) {
    if (this.made[kind]) throw misuse("Can only create one Element of type " + kind + " through elements.create().");
    return (this.made[kind] = new PaymentElement(kind, options));
  };
  Elements.prototype.getElement = function (kind) { return this.made[kind] || null; };
  Elements.prototype.update = function (options) { Object.assign(this.options, options); };
  Elements.prototype.fetchUpdates = function () { return Promise.resolve({}); };
  Elements.prototype.submit = function () {
    var element = this.made.payment || this.made.card;
    if (!element || !element.root) return Promise.reject(misuse("elements.submit() needs a mounted Payment Element."));
    var error = element.problem();
    this.submitted = !error;
    return Promise.resolve(error ? { error: error } : { selectedPaymentMethod: "card" });
  };

  /* Asks for 3-D Secure in the page: resolves to "complete" or "fail". */
  function challenge() {
    return new Promise(function (resolve) {
      var dialog = style(make("dialog", {}), { padding: "1.5em", border: "1px solid #8888", borderRadius: "10px", maxWidth: "24em" });
      function answer(outcome, label) {
        var button = style(make("button", { type: "button", textContent: label }), { font: "inherit", margin: "0.4em 0.4em 0 0" });
        button.dataset.outcome = outcome;
        button.addEventListener("click", function () { dialog.close(); dialog.remove(); resolve(outcome); });
        return button;
      }
      dialog.append(
        make("h2", { textContent: "3-D Secure (sandbox)" }),
        make("p", { textContent: "The bank of this test card asks its holder to approve the payment." }),
        answer("complete", "Complete authentication"), answer("fail", "Fail authentication")
      );
      dialog.addEventListener("cancel", function () { dialog.remove(); resolve("fail"); });
      document.body.append(dialog);
      dialog.showModal();
    });
  }

  function secretOf(options) {
    return options.clientSecret || (options.elements && options.elements.options.clientSecret);
  }

  window.Stripe = function Stripe(key) {
    if (typeof key !== "string" || !/^pk_(test|live)_/.test(key)) {
      throw misuse("Please call Stripe() with your publishable key. You used an empty string or a secret key.");
    }

    function read(kind, secret) {
      var id = String(secret).split("_secret_")[0];
      return call("GET", "/v1/" + kind + "/" + encodeURIComponent(id), { key: key, client_secret: secret });
    }

    function confirm(kind, result, options) {
      var secret = secretOf(options);
      if (!secret) return Promise.reject(misuse("In order to confirm, pass `elements` with a clientSecret, or a `clientSecret`."));
      var element = options.elements && (options.elements.made.payment || options.elements.made.card);
      var parameters = options.confirmParams || {};
      if (options.redirect !== "if_required" && !parameters.return_url) {
        return Promise.reject(misuse("The `confirmParams.return_url` argument is required, unless `redirect` is \"if_required\"."));
      }
      if (options.elements && options.elements.options.mode && !options.elements.submitted) {
        return Promise.reject(misuse("elements.submit() must be called before an intent that was created later is confirmed."));
      }
      var id = String(secret).split("_secret_")[0];
      var path = "/v3/" + kind + "/" + encodeURIComponent(id);
      var billing = (parameters.payment_method_data && parameters.payment_method_data.billing_details) || {};
      var error = element && element.problem();
      if (error) return Promise.resolve({ error: error });
      return call("POST", path + "/confirm", {
        key: key, client_secret: secret, card: element ? element.card : parameters.payment_method,
        email: billing.email, name: billing.name
      }).then(function step(object) {
        if (!object.error && object.status === "requires_action") {
          return challenge().then(function (outcome) {
            return call("POST", path + "/authenticate", { key: key, client_secret: secret, outcome: outcome });
          }).then(step);
        }
        if (object.error) {
          if (element) element.error.textContent = object.error.message;
          return { error: object.error };
        }
        if (options.redirect !== "if_required" && parameters.return_url) {
          var url = new URL(parameters.return_url);
          var prefix = kind === "setup_intents" ? "setup_intent" : "payment_intent";
          url.searchParams.set(prefix, object.id);
          url.searchParams.set(prefix + "_client_secret", secret);
          url.searchParams.set("redirect_status", object.status === "processing" ? "pending" : "succeeded");
          location.assign(url.toString());
          return new Promise(function () {});
        }
        var answer = {};
        answer[result] = object;
        return answer;
      });
    }

    function retrieve(kind, result) {
      return function (secret) {
        return read(kind, secret).then(function (object) {
          if (object.error) return { error: object.error };
          var answer = {};
          answer[result] = object;
          return answer;
        });
      };
    }

    return {
      elements: function (options) { return new Elements(options); },
      confirmPayment: function (options) { return confirm("payment_intents", "paymentIntent", options || {}); },
      confirmSetup: function (options) { return confirm("setup_intents", "setupIntent", options || {}); },
      retrievePaymentIntent: retrieve("payment_intents", "paymentIntent"),
      retrieveSetupIntent: retrieve("setup_intents", "setupIntent"),
      handleNextAction: function (options) {
        var id = String(options.clientSecret).split("_secret_")[0];
        var setup = id.indexOf("seti_") === 0;
        return challenge().then(function (outcome) {
          var path = (setup ? "/v3/setup_intents/" : "/v3/payment_intents/") + encodeURIComponent(id) + "/authenticate";
          return call("POST", path, { key: key, client_secret: options.clientSecret, outcome: outcome });
        }).then(function (object) {
          if (object.error) return { error: object.error };
          return setup ? { setupIntent: object } : { paymentIntent: object };
        });
      },
      registerAppInfo: function () {},
      _sandbox: true
    };
  };
  window.Stripe.version = 3;
})();
