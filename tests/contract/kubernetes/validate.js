'use strict';
// Checks manifests against the schemas of the Kubernetes API (1.27) in the package kubernetes-models. An
// unknown field is an error, as with `kubectl apply --validate=strict`. An MPIJob, which is not part of
// Kubernetes, is checked against mpijob.schema.json. Reads manifests as a JSON array from standard input.
// Prints an array with the errors of each manifest.
const fs = require('fs');
const Ajv = require('ajv').default;
const api = require('@kubernetes-models/validate');
const mpiJobSchema = require('./mpijob.schema.json');

// The schemas of the API list the fields of an object but also allow others. This forbids others, except
// in maps (labels, limits), which have additionalProperties.
function close(schema) {
  if (Array.isArray(schema)) return schema.map(close);
  if (schema === null || typeof schema !== 'object') return schema;
  const entries = Object.entries(schema).map(([key, value]) => [key, close(value)]);
  const closed = Object.fromEntries(entries);
  if (schema.type === 'object' && schema.properties && !('additionalProperties' in schema))
    closed.additionalProperties = false;
  return closed;
}

const register = api.register;
api.register = (id, schema) => register(id, close(schema));

function modelOf(manifest) {
  try {
    return require(`kubernetes-models/${manifest.apiVersion}`)[manifest.kind];
  } catch (error) {
    if (error.code !== 'ERR_PACKAGE_PATH_NOT_EXPORTED') throw error;
    return undefined;
  }
}

const textOf = (errors) =>
  errors.map((one) => `${one.instancePath} ${one.message} ${JSON.stringify(one.params)}`);

function apiErrorsOf(manifest) {
  const Model = modelOf(manifest);
  if (!Model) return [`the API has no ${manifest.apiVersion} ${manifest.kind}`];
  try {
    new Model(manifest).validate();
    return [];
  } catch (error) {
    if (!error.errors) throw error;
    return textOf(error.errors);
  }
}

const isMpiJob = new Ajv({ allErrors: true, strict: false }).compile(mpiJobSchema);

function mpiJobErrorsOf(manifest) {
  if (!isMpiJob(manifest)) return textOf(isMpiJob.errors);
  return Object.values(manifest.spec.mpiReplicaSpecs).flatMap(({ template }) =>
    apiErrorsOf({ apiVersion: 'v1', kind: 'PodTemplate', metadata: manifest.metadata, template })
  );
}

function errorsOf(manifest) {
  return manifest.apiVersion.startsWith('kubeflow.org/') ? mpiJobErrorsOf(manifest) : apiErrorsOf(manifest);
}

process.stdout.write(JSON.stringify(JSON.parse(fs.readFileSync(0, 'utf8')).map(errorsOf)) + '\n');
