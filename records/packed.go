package records

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/bits"
	"runtime"
	"sync"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// packedBatches writes the record batches of a compressed shard, one a row.
//
// Arrow's own writer would do, but it compresses on one goroutine and makes a
// new encoder for every record batch: 22 MB of garbage a row with zstd, and
// more time than the compression itself takes. So rows are compressed and put
// into messages here, by several goroutines with an encoder each, and written
// in the order in which they came. The schema is still Arrow's to encode.
type packedBatches struct {
	out     *hashedWriter
	options WriterOptions
	leader  []byte // what the file starts with
	blocks  []arrowBlock

	jobs    chan *packedRow
	queue   []*packedRow // in the order of their rows; at most cap(jobs)
	spare   []*packedRow
	workers sync.WaitGroup
}

// arrowBlock is where a record batch is: the footer lists them.
type arrowBlock struct {
	offset   int64
	metaSize int32
	bodySize int64
}

// packedRow is a row on its way through a worker.
type packedRow struct {
	record  Record // without pixels
	crc     uint32
	stored  []byte
	message []byte // the record batch: prefix, metadata, body
	meta    int    // where the body starts in it
	err     error
	done    chan struct{} // receives once when the message is there
}

// newPackedBatches starts the file and the workers.
func newPackedBatches(out *hashedWriter, o WriterOptions) (*packedBatches, error) {
	leader, err := schemaLeader(shardSchema(o))
	if err != nil {
		return nil, err
	}
	if _, err := out.Write(leader); err != nil {
		return nil, err
	}
	n := runtime.GOMAXPROCS(0)
	p := &packedBatches{out: out, options: o, leader: leader, jobs: make(chan *packedRow, 2*n)}
	for range n {
		p.workers.Go(p.work)
	}
	return p, nil
}

// schemaLeader returns what an Arrow file with the schema starts with: the
// magic and the schema's message, which Arrow's stream writer gives us.
func schemaLeader(schema *arrow.Schema) ([]byte, error) {
	var stream bytes.Buffer
	stream.WriteString(arrowMagic)
	stream.Write(make([]byte, leaderSize-len(arrowMagic)))
	w := ipc.NewWriter(&stream, ipc.WithSchema(schema))
	if err := w.Close(); err != nil {
		return nil, err
	}
	return stream.Bytes()[:stream.Len()-len(endOfStream)], nil
}

// endOfStream ends the messages, for readers that do not use the footer.
const endOfStream = "\xff\xff\xff\xff\x00\x00\x00\x00"

// add hands a row to the workers, once the oldest of those under way is
// written if there are too many.
func (p *packedBatches) add(r *Record, baseline []uint8) error {
	if len(p.queue) == cap(p.jobs) {
		if err := p.writeOldest(); err != nil {
			return err
		}
	}
	var row *packedRow
	if n := len(p.spare); n > 0 {
		row, p.spare = p.spare[n-1], p.spare[:n-1]
	} else {
		row = &packedRow{done: make(chan struct{}, 1)}
	}
	row.record = *r
	row.record.Pixels = nil
	row.stored = appendStored(row.stored[:0], r.Pixels, baseline)
	p.queue = append(p.queue, row)
	p.jobs <- row
	return nil
}

// writeOldest waits for the oldest row under way and writes it.
func (p *packedBatches) writeOldest() error {
	row := p.queue[0]
	p.queue = p.queue[:copy(p.queue, p.queue[1:])]
	<-row.done
	if row.err != nil {
		return row.err
	}
	p.blocks = append(p.blocks, arrowBlock{p.out.bytes, int32(row.meta), int64(len(row.message) - row.meta)})
	p.spare = append(p.spare, row)
	_, err := p.out.Write(row.message)
	return err
}

// close writes the rows under way and the footer.
func (p *packedBatches) close() error {
	for len(p.queue) > 0 {
		if err := p.writeOldest(); err != nil {
			return err
		}
	}
	return writeEnd(p.out, p.leader, p.blocks)
}

// writeEnd writes what follows the last record batch: the end of the messages,
// the footer, its length and the magic.
func writeEnd(out *hashedWriter, leader []byte, blocks []arrowBlock) error {
	footer := fileFooter(leader[leaderSize+prefixSize:], blocks)
	end := append([]byte(endOfStream), footer...)
	end = binary.LittleEndian.AppendUint32(end, uint32(len(footer)))
	end = append(end, arrowMagic...)
	_, err := out.Write(end)
	return err
}

// stop ends the workers and waits for them.
func (p *packedBatches) stop() {
	close(p.jobs)
	p.workers.Wait()
}

// work is a worker.
func (p *packedBatches) work() {
	packer, err := newPacker(p.options)
	for row := range p.jobs {
		if row.err = err; err == nil {
			row.err = packer.pack(row)
		}
		row.done <- struct{}{}
	}
}

// packer is what a worker keeps between rows.
type packer struct {
	values  int
	codec   Compression
	zstd    *zstd.Encoder
	lz4     *lz4.Writer
	packed  bytes.Buffer
	body    []byte
	buffers [][2]int64 // offset in the body, length
	builder *flatbuffers.Builder
}

// newPacker returns a packer for a shard.
func newPacker(o WriterOptions) (*packer, error) {
	k := &packer{values: o.Shape.Size(), codec: o.Compression, builder: flatbuffers.NewBuilder(1024)}
	if o.Compression == Zstd {
		// One goroutine; a window that holds a row, not more (the encoder's
		// memory follows it); no checksum of zstd's own, as each row has one.
		size := o.Shape.Size() * o.Pixels.Size()
		window := min(max(1<<bits.Len(uint(size-1)), zstd.MinWindowSize), 8<<20)
		enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1),
			zstd.WithWindowSize(window), zstd.WithEncoderCRC(false))
		k.zstd = enc
		return k, err
	}
	k.lz4 = lz4.NewWriter(nil)
	// As Arrow's C++ does it. Blocks of 64 KiB let a reader decompress straight
	// to where it wants them.
	return k, k.lz4.Apply(lz4.ChecksumOption(false), lz4.BlockSizeOption(lz4.Block64Kb))
}

// pack makes the message of a row.
func (k *packer) pack(row *packedRow) error {
	r := &row.record
	row.crc = crc32.Checksum(row.stored, crcTable)
	k.body, k.buffers = k.body[:0], k.buffers[:0]
	le := binary.LittleEndian
	var small [8]byte

	le.PutUint32(small[4:], uint32(len(r.Key)))
	k.absent() // key
	k.plain(small[:8])
	k.plain([]byte(r.Key))
	le.PutUint32(small[:], uint32(r.Label))
	k.absent() // label
	k.plain(small[:4])
	nulls := int64(0)
	if r.ILSVRCID == 0 {
		nulls = 1
		k.plain([]byte{0})
	} else {
		k.absent()
	}
	le.PutUint32(small[:], uint32(r.ILSVRCID))
	k.plain(small[:4])
	for _, side := range [2]uint16{r.Width, r.Height} {
		le.PutUint16(small[:], side)
		k.absent()
		k.plain(small[:2])
	}
	le.PutUint64(small[:], r.SourceXXH3)
	k.absent() // source_xxh3
	k.plain(small[:])
	le.PutUint32(small[:], row.crc)
	k.absent() // crc32c
	k.plain(small[:4])
	k.absent() // pixels
	k.absent() // their items
	if err := k.compressed(row.stored); err != nil {
		return fmt.Errorf("compressing %s: %w", r.Key, err)
	}

	meta := k.metadata(nulls)
	padded := (len(meta) + 7) &^ 7
	row.meta = prefixSize + padded
	row.message = le.AppendUint32(row.message[:0], continuation)
	row.message = le.AppendUint32(row.message, uint32(padded))
	row.message = append(row.message, meta...)
	row.message = append(row.message, make([]byte, padded-len(meta))...)
	row.message = append(row.message, k.body...)
	return nil
}

// absent appends an empty buffer: the bitmap of a column without nulls.
func (k *packer) absent() { k.buffers = append(k.buffers, [2]int64{int64(len(k.body)), 0}) }

// plain appends a buffer that is not compressed, which Arrow marks with a
// length of -1.
func (k *packer) plain(content []byte) { k.buffer(-1, content) }

// compressed appends a buffer that is compressed, if that makes it smaller.
func (k *packer) compressed(content []byte) error {
	k.packed.Reset()
	if k.codec == Zstd {
		k.packed.Write(k.zstd.EncodeAll(content, k.packed.AvailableBuffer()))
	} else {
		k.lz4.Reset(&k.packed)
		if _, err := k.lz4.Write(content); err != nil {
			return err
		}
		if err := k.lz4.Close(); err != nil {
			return err
		}
	}
	if k.packed.Len() >= len(content) {
		k.plain(content)
	} else {
		k.buffer(int64(len(content)), k.packed.Bytes())
	}
	return nil
}

// buffer appends a buffer with its prefix and padding.
func (k *packer) buffer(length int64, content []byte) {
	start := len(k.body)
	k.body = binary.LittleEndian.AppendUint64(k.body, uint64(length))
	k.body = append(k.body, content...)
	k.buffers = append(k.buffers, [2]int64{int64(start), int64(len(k.body) - start)})
	for len(k.body)%8 != 0 {
		k.body = append(k.body, 0)
	}
}

// The numbers of Arrow's Message.fbs and Schema.fbs.
const (
	metadataV5        = 4
	headerRecordBatch = 3
	codecLZ4Frame     = 0
	codecZstd         = 1
)

// metadata returns the flatbuffer of the record batch in the body: a Message
// that holds a RecordBatch. It is valid until the next call.
func (k *packer) metadata(nulls int64) []byte {
	b := k.builder
	b.Reset()
	pair := func(first, second int64) { // a struct of two int64, last field first
		b.Prep(8, 16)
		b.PrependInt64(second)
		b.PrependInt64(first)
	}
	b.StartVector(bufferSize, len(k.buffers), 8)
	for i := len(k.buffers) - 1; i >= 0; i-- {
		pair(k.buffers[i][0], k.buffers[i][1])
	}
	buffers := b.EndVector(len(k.buffers))
	b.StartVector(nodeSize, shardNodes, 8)
	for i := shardNodes - 1; i >= 0; i-- {
		switch i {
		case nodeValues:
			pair(int64(k.values), 0)
		case colILSVRCID:
			pair(1, nulls)
		default:
			pair(1, 0)
		}
	}
	nodes := b.EndVector(shardNodes)

	codec := int8(codecLZ4Frame)
	if k.codec == Zstd {
		codec = codecZstd
	}
	b.StartObject(2) // BodyCompression: codec, method (0: by buffer)
	b.PrependInt8Slot(0, codec, 0)
	compression := b.EndObject()
	b.StartObject(4) // RecordBatch: length, nodes, buffers, compression
	b.PrependInt64Slot(0, 1, 0)
	b.PrependUOffsetTSlot(1, nodes, 0)
	b.PrependUOffsetTSlot(2, buffers, 0)
	b.PrependUOffsetTSlot(3, compression, 0)
	batch := b.EndObject()
	b.StartObject(4) // Message: version, header type, header, body length
	b.PrependInt64Slot(3, int64(len(k.body)), 0)
	b.PrependUOffsetTSlot(2, batch, 0)
	b.PrependInt16Slot(0, metadataV5, 0)
	b.PrependByteSlot(1, headerRecordBatch, 0)
	b.Finish(b.EndObject())
	return b.FinishedBytes()
}

// fileFooter returns the flatbuffer of the file's footer. Its schema is the
// one in the schema's message, which is put into the flatbuffer as it is: the
// offsets in it are relative, so that the Schema table in it is where the
// footer points to.
func fileFooter(message []byte, blocks []arrowBlock) []byte {
	var schema flatbuffers.Table
	root := rootTable(message)
	root.Union(&schema, flatbuffers.UOffsetT(root.Offset(8)))

	b := flatbuffers.NewBuilder(len(message) + blockSize*len(blocks) + 64)
	b.StartVector(8, len(message)/8, 8)
	for i := len(message) - 8; i >= 0; i -= 8 {
		b.PrependUint64(binary.LittleEndian.Uint64(message[i:]))
	}
	schemaAt := b.Offset() - schema.Pos // positions here count from the end
	b.EndVector(len(message) / 8)
	b.StartVector(blockSize, len(blocks), 8)
	for i := len(blocks) - 1; i >= 0; i-- {
		b.Prep(8, blockSize)
		b.PrependInt64(blocks[i].bodySize)
		b.Pad(4)
		b.PrependInt32(blocks[i].metaSize)
		b.PrependInt64(blocks[i].offset)
	}
	batches := b.EndVector(len(blocks))
	b.StartVector(blockSize, 0, 8)
	dictionaries := b.EndVector(0)
	b.StartObject(4) // Footer: version, schema, dictionaries, record batches
	b.PrependUOffsetTSlot(1, schemaAt, 0)
	b.PrependUOffsetTSlot(2, dictionaries, 0)
	b.PrependUOffsetTSlot(3, batches, 0)
	b.PrependInt16Slot(0, metadataV5, 0)
	b.Finish(b.EndObject())
	return b.FinishedBytes()
}
