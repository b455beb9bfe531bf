// Reads a folder of records with the JavaScript implementation of Apache Arrow,
// which shares no code with the Go program that wrote it, and checks that it
// sees what manifest.json promises: row counts, columns, the tensor extension,
// and every pixel by a CRC-32C computed here. ../FORMAT.md is the specification.
//
//   npm ci && node check.mjs DIR
//
// Prints one line. Exit 0: all is as promised; 1: something is not; 2: wrong usage.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CompressionType, RecordBatchReader, Type, compressionRegistry } from 'apache-arrow';
import * as fzstd from 'fzstd';
import * as lz4 from 'lz4js';

// The package knows the compressed layout but leaves the decompression to others.
compressionRegistry.set(CompressionType.LZ4_FRAME, { decode: (bytes) => lz4.decompress(bytes) });
compressionRegistry.set(CompressionType.ZSTD, { decode: (bytes) => fzstd.decompress(bytes) });

const results = { passed: 0, failed: 0, rows: 0 };

// check counts a fact and complains when it does not hold.
function check(holds, what) {
  if (holds) {
    results.passed++;
    return;
  }
  results.failed++;
  if (results.failed <= 20) console.error(`FAILED: ${what}`);
}

// equal checks that two values are the same, as JSON.
function equal(got, want, what) {
  const [g, w] = [JSON.stringify(got), JSON.stringify(want)];
  check(g === w, `${what} is ${g}, should be ${w}`);
}

// The table of CRC-32C: the polynomial of Castagnoli, bits reversed.
const crcTable = new Uint32Array(256).map((_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0x82f63b78 ^ (n >>> 1) : n >>> 1;
  return n;
});

// crc32c returns the checksum of bytes.
function crc32c(bytes) {
  let crc = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) crc = crcTable[(crc ^ bytes[i]) & 0xff] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

// readBatches returns the record batches of an Arrow file whose digest is right.
function readBatches(dir, { file, sha256 }) {
  const bytes = readFileSync(join(dir, file));
  equal(createHash('sha256').update(bytes).digest('hex'), sha256, `${file}: SHA-256`);
  const reader = RecordBatchReader.from(bytes).open();
  const { schema } = reader; // reading to the end forgets it
  return { bytes, schema, batches: [...reader] };
}

// columnsOf lists the columns of a schema with their types.
function columnsOf(schema) {
  return schema.fields.map((f) => `${f.name} ${f.type}`);
}

// checkTensor checks that a field is a tensor of the shape, for any Arrow reader.
function checkTensor(field, shape, file) {
  const size = shape.reduce((a, b) => a * b);
  equal(field.metadata.get('ARROW:extension:name'), 'arrow.fixed_shape_tensor', `${file}: extension of ${field.name}`);
  equal(JSON.parse(field.metadata.get('ARROW:extension:metadata') ?? 'null'),
    { shape, dim_names: ['C', 'H', 'W'] }, `${file}: tensor metadata of ${field.name}`);
  equal(field.type.typeId, Type.FixedSizeList, `${file}: type of ${field.name}`);
  equal(field.type.listSize, size, `${file}: list size of ${field.name}`);
}

// itemsOf returns the values of a tensor column of a batch, all rows in one array.
function itemsOf(batch, name) {
  const data = batch.getChild(name).data[0];
  return data.children[0].values.subarray(data.offset * data.type.listSize);
}

// readMean checks mean.arrow and returns the baseline.
function readMean(dir, manifest) {
  const { file } = manifest.mean;
  const { batches, schema } = readBatches(dir, manifest.mean);
  const size = manifest.shape.reduce((a, b) => a * b);
  equal(columnsOf(schema), [`mean FixedSizeList[${size}]<Float32>`, `baseline FixedSizeList[${size}]<Uint8>`], `${file}: columns`);
  for (const field of schema.fields) checkTensor(field, manifest.shape, file);
  equal(batches.map((b) => b.numRows), [1], `${file}: rows`);
  const mean = itemsOf(batches[0], 'mean');
  const baseline = itemsOf(batches[0], 'baseline');
  equal([mean.length, baseline.length], [size, size], `${file}: values`);
  check(mean.every((v) => v >= 0 && v <= 255 && Number.isInteger(v * 1024)), `${file}: means are multiples of 1/1024 from 0 to 255`);
  if (manifest.pixels === 'uint8') check(baseline.every((v) => v === 0), `${file}: without a baseline for uint8`);
  return baseline;
}

// checkShard checks a shard: its schema and every row.
function checkShard(dir, manifest, split, info, baseline, keys) {
  const { bytes, batches, schema } = readBatches(dir, info);
  const size = manifest.shape.reduce((a, b) => a * b);
  const item = { int16: 'Int16', uint8: 'Uint8' }[manifest.pixels];
  equal(bytes.length, info.bytes, `${info.file}: size`);
  equal(columnsOf(schema), ['key Utf8', 'label Int32', 'ilsvrc_id Int32', 'width Uint16', 'height Uint16', 'source_xxh3 Uint64', 'crc32c Uint32',
    `pixels FixedSizeList[${size}]<${item}>`], `${info.file}: columns`);
  checkTensor(schema.fields[7], manifest.shape, info.file);
  equal(['format', 'version', 'split'].map((k) => schema.metadata.get(`alexnet.${k}`)),
    [manifest.format, String(manifest.version), split], `${info.file}: metadata`);
  const perBatch = Number(schema.metadata.get('alexnet.rows_per_batch'));
  equal(batches.map((b, i) => (i < batches.length - 1 ? b.numRows === perBatch : b.numRows >= 1 && b.numRows <= perBatch)),
    batches.map(() => true), `${info.file}: batches of ${perBatch} rows`);
  if (manifest.compression !== 'none') equal(perBatch, 1, `${info.file}: rows in a compressed batch`);
  let rows = 0;
  for (const batch of batches) {
    checkRows(manifest, info.file, rows, batch, baseline, keys);
    rows += batch.numRows;
  }
  equal(rows, info.rows, `${info.file}: rows`);
  results.rows += rows;
}

// checkRows checks the rows of a batch, of which the first is row number first.
function checkRows(manifest, file, first, batch, baseline, keys) {
  const size = manifest.shape.reduce((a, b) => a * b);
  const items = itemsOf(batch, 'pixels');
  const column = (name) => batch.getChild(name);
  for (let k = 0; k < batch.numRows; k++) {
    const key = column('key').get(k);
    const row = `${file}: row ${first + k} (${key})`;
    const pixels = items.subarray(k * size, (k + 1) * size);
    equal(pixels.length, size, `${row}: values`);
    equal(crc32c(new Uint8Array(pixels.buffer, pixels.byteOffset, pixels.byteLength)), column('crc32c').get(k), `${row}: CRC-32C`);
    check(pixels.every((v, i) => v + baseline[i] >= 0 && v + baseline[i] <= 255), `${row}: pixels are 0 to 255`);
    check(key.length > 0 && !keys.has(key), `${row}: the key is unique`);
    keys.add(key);
    const label = column('label').get(k);
    check(label >= -1 && label < manifest.classes.length, `${row}: label ${label} of ${manifest.classes.length} classes`);
    const id = column('ilsvrc_id').get(k);
    if (label >= 0) equal(id, manifest.classes[label].ilsvrc_id ?? null, `${row}: ILSVRC id of class ${label}`);
    else check(id === null || (id >= 1 && id <= 1000), `${row}: ILSVRC id ${id}`);
    check(typeof column('source_xxh3').get(k) === 'bigint' && column('source_xxh3').get(k) !== 0n, `${row}: digest of the source file`);
    check(column('width').get(k) > 0 && column('height').get(k) > 0, `${row}: size of the original`);
  }
}

// checkFolder checks all of the records in a folder.
function checkFolder(dir) {
  const manifest = JSON.parse(readFileSync(join(dir, 'manifest.json'), 'utf8'));
  equal([manifest.format, manifest.version], ['alexnet-records', 2], 'manifest.json: format and version');
  const digest = createHash('sha256').update(`${manifest.mean.file} ${manifest.mean.sha256}\n`);
  const baseline = readMean(dir, manifest);
  for (const name of Object.keys(manifest.splits).sort()) {
    const split = manifest.splits[name];
    const keys = new Set();
    for (const info of split.shards ?? []) {
      digest.update(`${info.file} ${info.sha256}\n`);
      checkShard(dir, manifest, name, info, baseline, keys);
    }
    equal(keys.size, split.written, `split ${name}: pictures`);
    equal(split.seen, split.written + split.rejected, `split ${name}: seen`);
  }
  equal(digest.digest('hex'), manifest.digest, 'manifest.json: digest');
  return manifest;
}

const dirs = process.argv.slice(2);
if (dirs.length !== 1 || dirs[0].startsWith('-')) {
  console.error('usage: node check.mjs DIR      (DIR: what ingest --out made)');
  process.exit(2);
}
let what = 'nothing';
try {
  const m = checkFolder(dirs[0]);
  what = `${results.rows} rows of ${m.shape.join('x')} ${m.pixels}, compression ${m.compression}`;
} catch (error) {
  check(false, `${dirs[0]}: ${error.stack ?? error}`);
}
console.log(`apache-arrow (JavaScript): ${results.passed} passed, ${results.failed} failed; ${what}`);
process.exit(results.failed ? 1 : 0);
