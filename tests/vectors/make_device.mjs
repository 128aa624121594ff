// Answers the cases on stdin with amazon-cognito-identity-js, compares with pycognito, and writes device.json to stdout.
// The argument is a folder in which `npm install amazon-cognito-identity-js@6.3` was run.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";

const require = createRequire(resolve(process.argv[2], "index.js"));
const PACKAGE = "amazon-cognito-identity-js";
const { CognitoUser, CognitoUserPool } = require(PACKAGE);
const AuthenticationHelper = require(`${PACKAGE}/lib/AuthenticationHelper`).default;
const BigInteger = require(`${PACKAGE}/lib/BigInteger`).default;
const WordArray = require(`${PACKAGE}/lib/utils/WordArray`).default;

const RealDate = Date;
function at(iso, action) {
  globalThis.Date = class extends RealDate {
    constructor(...given) {
      super(...(given.length ? given : [iso]));
    }
  };
  try {
    return action();
  } finally {
    globalThis.Date = RealDate;
  }
}

const silent = { onSuccess: () => {}, onFailure: () => {} };
const TOKEN = "e30.e30.e30";

function newUser(given) {
  AuthenticationHelper.prototype.generateRandomSmallA = () => new BigInteger(given.a, 16);
  WordArray.prototype.random = (size) => ({
    toString: () => ({ 40: given.password_bytes, 16: given.salt_bytes })[size],
  });
  const pool = new CognitoUserPool({ UserPoolId: "ap-southeast-2_Unused", ClientId: "client" });
  return new CognitoUser({ Username: "ada", Pool: pool });
}

// What the client tells the pool after a sign-in that came with the keys of a new device.
function register(given) {
  const user = newUser(given);
  const seen = {};
  user.client.request = (operation, params) => {
    if (operation !== "ConfirmDevice") throw new Error(operation);
    seen.verifier = params.DeviceSecretVerifierConfig.PasswordVerifier;
    seen.salt = params.DeviceSecretVerifierConfig.Salt;
    seen.password = user.randomPassword;
  };
  const metadata = { DeviceGroupKey: given.group_key, DeviceKey: given.device_key };
  const tokens = { IdToken: TOKEN, AccessToken: TOKEN, RefreshToken: "r", NewDeviceMetadata: metadata };
  user.authenticateUserInternal({ AuthenticationResult: tokens }, new AuthenticationHelper("Unused"), silent);
  return seen;
}

// What the client answers from DEVICE_SRP_AUTH on.
function signIn(given, password) {
  const user = newUser(given);
  Object.assign(user, { deviceKey: given.device_key, deviceGroupKey: given.group_key, randomPassword: password });
  const seen = {};
  const hkdf = AuthenticationHelper.prototype.computehkdf;
  AuthenticationHelper.prototype.computehkdf = function (...inputs) {
    const key = hkdf.apply(this, inputs);
    seen.key = Buffer.from(key).toString("hex");
    return key;
  };
  user.client.request = (_operation, params, callback) => {
    if (params.ChallengeName === "DEVICE_SRP_AUTH") {
      seen.srp_a = params.ChallengeResponses.SRP_A;
      const salt = new BigInteger(given.salt_bytes, 16).toString(16);
      const parameters = { SRP_B: given.srp_b, SALT: salt, SECRET_BLOCK: given.secret_block };
      callback(null, { ChallengeName: "DEVICE_PASSWORD_VERIFIER", ChallengeParameters: parameters });
    } else {
      seen.timestamp = params.ChallengeResponses.TIMESTAMP;
      seen.signature = params.ChallengeResponses.PASSWORD_CLAIM_SIGNATURE;
    }
  };
  try {
    at(given.now, () => user.getDeviceResponse(silent));
  } finally {
    AuthenticationHelper.prototype.computehkdf = hkdf;
  }
  return seen;
}

const FIELDS = ["password", "verifier", "salt", "srp_a", "timestamp", "signature"];
const cases = JSON.parse(readFileSync(0, "utf8")).map(({ pycognito, ...inputs }) => {
  const registered = register(inputs);
  const answered = { ...registered, ...signIn(inputs, registered.password) };
  for (const field of FIELDS) {
    if (answered[field] === undefined || answered[field] !== pycognito[field]) {
      throw new Error(`the clients disagree: ${inputs.name}, ${field}: ${answered[field]} / ${pycognito[field]}`);
    }
  }
  return { ...inputs, ...answered };
});

const made_with = { [PACKAGE]: require(`${PACKAGE}/package.json`).version };
process.stdout.write(JSON.stringify({ made_with, cases }, null, 1) + "\n");
