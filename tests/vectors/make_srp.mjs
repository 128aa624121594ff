// Answers the cases on stdin with amazon-cognito-identity-js, compares with pycognito, and writes srp.json to stdout.
// The argument is a folder in which `npm install amazon-cognito-identity-js@6.3` was run.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";

const require = createRequire(resolve(process.argv[2], "index.js"));
const PACKAGE = "amazon-cognito-identity-js";
const { AuthenticationDetails, CognitoUser, CognitoUserPool } = require(PACKAGE);
const AuthenticationHelper = require(`${PACKAGE}/lib/AuthenticationHelper`).default;
const BigInteger = require(`${PACKAGE}/lib/BigInteger`).default;
const DateHelper = require(`${PACKAGE}/lib/DateHelper`).default;

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

// The whole client runs, from authenticateUser on; only its randomness, its clock and its network are ours.
function signIn(given) {
  const seen = {};
  AuthenticationHelper.prototype.generateRandomSmallA = () => new BigInteger(given.a, 16);
  const hkdf = AuthenticationHelper.prototype.computehkdf;
  AuthenticationHelper.prototype.computehkdf = function (...inputs) {
    const key = hkdf.apply(this, inputs);
    seen.key = Buffer.from(key).toString("hex");
    return key;
  };
  const pool = new CognitoUserPool({ UserPoolId: `ap-southeast-2_${given.pool}`, ClientId: "client" });
  pool.client.request = (operation, params, callback) => {
    if (operation === "InitiateAuth") {
      seen.srp_a = params.AuthParameters.SRP_A;
      callback(null, {
        ChallengeName: "PASSWORD_VERIFIER",
        ChallengeParameters: {
          USER_ID_FOR_SRP: given.user,
          SALT: given.salt,
          SRP_B: given.srp_b,
          SECRET_BLOCK: given.secret_block,
        },
      });
    } else {
      seen.timestamp = params.ChallengeResponses.TIMESTAMP;
      seen.signature = params.ChallengeResponses.PASSWORD_CLAIM_SIGNATURE;
      callback(new Error("enough"));
    }
  };
  const user = new CognitoUser({ Username: "alias", Pool: pool });
  const details = new AuthenticationDetails({ Username: "alias", Password: given.password });
  try {
    at(given.now, () => user.authenticateUser(details, { onFailure: () => {}, onSuccess: () => {} }));
  } finally {
    AuthenticationHelper.prototype.computehkdf = hkdf;
  }
  return seen;
}

const FIELDS = ["srp_a", "key", "timestamp", "signature"];
const same = (one, other) => FIELDS.every((field) => one[field] !== undefined && one[field] === other[field]);

const given = JSON.parse(readFileSync(0, "utf8"));
const cases = given.cases.map(({ pycognito, server_key, ...inputs }) => {
  const answered = signIn(inputs);
  if (!same(answered, pycognito)) throw new Error(`the clients disagree: ${inputs.name}`);
  if (answered.key !== server_key) throw new Error(`the server disagrees: ${inputs.name}`);
  return { ...inputs, ...answered };
});
const disputed = given.disputed.map(({ pycognito, server_key, ...inputs }) => {
  const answered = signIn(inputs);
  if (same(answered, pycognito)) throw new Error(`the clients agree after all: ${inputs.name}`);
  if (answered.key !== server_key) throw new Error(`the server disagrees: ${inputs.name}`);
  return { ...inputs, ...answered, pycognito };
});
const refused = given.refused.map((entry) => {
  try {
    signIn({ ...given.cases[0], ...entry });
  } catch (error) {
    return { ...entry, error: error.message };
  }
  throw new Error(`not refused: ${entry.name}`);
});
const dates = given.dates.map((now) => ({ now, timestamp: at(now, () => new DateHelper().getNowString()) }));

const made_with = { [PACKAGE]: require(`${PACKAGE}/package.json`).version };
process.stdout.write(JSON.stringify({ made_with, cases, disputed, refused, dates }, null, 1) + "\n");
