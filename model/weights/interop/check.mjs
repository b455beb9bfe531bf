// Runs an ONNX model that the Go program wrote in ONNX Runtime and compares with
// what the Go engine says.
//
//   npm ci --ignore-scripts && node check.mjs DIR
//
// (--ignore-scripts: onnxruntime-node would only fetch its GPU libraries.) DIR holds
// model.onnx; images.f32 and probabilities.f32, little-endian float32; and
// shape.json, the input's shape. The engine has no logits to give, so those of ONNX
// Runtime and the logarithms of the engine's probabilities are compared, each less
// its mean over the classes. Prints one line. Exit 0: they agree within 1e-4; 1: they
// do not; 2: wrong usage.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ort from 'onnxruntime-node';

const tolerance = 1e-4;

const dir = process.argv[2];
if (!dir || process.argv.length > 3) {
  console.error('usage: node check.mjs DIR');
  process.exit(2);
}

// floats reads a file of float32.
function floats(name) {
  const bytes = readFileSync(join(dir, name));
  return Float32Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i));
}

// centred returns values less their mean.
function centred(values) {
  const mean = values.reduce((sum, v) => sum + v, 0) / values.length;
  return values.map((v) => v - mean);
}

const shape = JSON.parse(readFileSync(join(dir, 'shape.json'), 'utf8'));
const session = await ort.InferenceSession.create(join(dir, 'model.onnx'), { executionProviders: ['cpu'] });
const { logits, probabilities } = await session.run({ images: new ort.Tensor('float32', floats('images.f32'), shape) });
const want = floats('probabilities.f32');

const images = shape[0];
const classes = want.length / images;
let worst = probabilities.data.length === want.length && logits.data.length === want.length ? 0 : Infinity;
let spread = 0;
for (let n = 0; n < images; n++) {
  const row = (data) => Array.from(data.slice(n * classes, (n + 1) * classes));
  const got = centred(row(logits.data));
  const own = centred(row(want).map(Math.log));
  for (let c = 0; c < classes; c++) {
    spread = Math.max(spread, Math.abs(own[c]));
    const off = Math.max(Math.abs(got[c] - own[c]), Math.abs(row(probabilities.data)[c] - row(want)[c]));
    worst = off <= worst ? worst : off; // NaN too
  }
}
console.log(`${images} images, ${classes} classes: logits up to ${spread.toFixed(2)} agree within ${worst.toExponential(1)}`);
if (!(worst <= tolerance)) {
  console.error(`FAILED: more than ${tolerance} apart`);
  process.exit(1);
}
