package records

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"github.com/apache/arrow/go/v15/arrow"
)

// PixelType says how the pixels of a data set are stored.
type PixelType string

// The pixel types.
const (
	// Int16 pixels are differences, value - baseline, from -255 to 255, stored
	// as little-endian 16-bit integers. The baseline is the mean picture
	// rounded to integers (Mean.Baseline).
	Int16 PixelType = "int16"
	// Uint8 pixels are the picture's own values, 0 to 255.
	Uint8 PixelType = "uint8"
)

// Size returns the number of bytes that one stored value takes, or 0 for a
// type that does not exist.
func (p PixelType) Size() int {
	switch p {
	case Int16:
		return 2
	case Uint8:
		return 1
	}
	return 0
}

// Compression says how the bodies of a shard's record batches are compressed.
type Compression string

// The compressions. LZ4 and Zstd are Arrow's LZ4_FRAME and ZSTD body
// compression, one row a record batch, so that any row costs one
// decompression.
const (
	None Compression = "none"
	LZ4  Compression = "lz4"
	Zstd Compression = "zstd"
)

// valid says whether c is one of the three.
func (c Compression) valid() bool { return c == None || c == LZ4 || c == Zstd }

// Shape is the shape of a stored picture: C colour planes (3: red, green,
// blue) of H rows of W pixels. In JSON it is the array [C, H, W].
type Shape struct{ C, H, W int }

// Size returns the number of values in a picture of this shape.
func (s Shape) Size() int { return s.C * s.H * s.W }

// String returns the shape as "3x256x256".
func (s Shape) String() string { return fmt.Sprintf("%dx%dx%d", s.C, s.H, s.W) }

// MarshalJSON writes the shape as [C, H, W].
func (s Shape) MarshalJSON() ([]byte, error) { return json.Marshal([3]int{s.C, s.H, s.W}) }

// UnmarshalJSON reads an array of exactly three integers.
func (s *Shape) UnmarshalJSON(b []byte) error {
	var dims []int
	if err := json.Unmarshal(b, &dims); err != nil {
		return err
	}
	if len(dims) != 3 {
		return fmt.Errorf("a shape has 3 dimensions, C, H and W; this one has %d", len(dims))
	}
	s.C, s.H, s.W = dims[0], dims[1], dims[2]
	return nil
}

// maxSide bounds each dimension of a shape, and maxValues the number of values
// in a picture, so that no product of them overflows and a damaged number
// cannot ask for absurd amounts of memory.
const (
	maxSide   = math.MaxUint16
	maxValues = 1 << 28
)

// check says what is wrong with the shape, or returns nil.
func (s Shape) check() error {
	for _, d := range [3]int{s.C, s.H, s.W} {
		if d < 1 || d > maxSide {
			return fmt.Errorf("shape %v: each dimension must be 1 to %d", s, maxSide)
		}
	}
	if n := int64(s.C) * int64(s.H) * int64(s.W); n > maxValues {
		return fmt.Errorf("shape %v has %d values; at most %d are supported", s, n, maxValues)
	}
	return nil
}

// Class is one of the classes of a data set. Its place in Manifest.Classes is
// its label; the classes are sorted by WNID.
type Class struct {
	// WNID is the WordNet id, such as "n01440764".
	WNID string `json:"wnid"`
	// ILSVRCID is the class's number in the ILSVRC development kit, 1 to
	// 1000, or 0 where there is none. It is not the label: the orders differ.
	ILSVRCID int32 `json:"ilsvrc_id,omitempty"`
	// Words are the class's names, such as "tench, Tinca tinca".
	Words string `json:"words,omitempty"`
}

// Record is a picture as it is handed to a ShardWriter.
type Record struct {
	// Key names the picture, uniquely in its split: "n01440764/n01440764_10026.JPEG".
	Key string
	// Label is the index of the picture's class, or -1 for an unlabelled picture.
	Label int32
	// ILSVRCID is the development kit's number of the class, 1 to 1000, or 0
	// for none, which is stored as null.
	ILSVRCID int32
	// Width and Height are the size of the original picture, in pixels.
	Width, Height uint16
	// SourceXXH3 is the XXH3-64 of the bytes of the file that the picture was
	// decoded from, as they were read: what "xxhsum -H3" prints for it.
	SourceXXH3 uint64
	// Pixels are the prepared picture's values, 0 to 255, plane by plane and
	// row by row (C, H, W). The writer reads them during Write only.
	Pixels []uint8
}

// ShardName returns the file name of shard i of n of a split:
// "train-00000-of-00012.arrow".
func ShardName(split string, i, n int) string {
	return fmt.Sprintf("%s-%05d-of-%05d.arrow", split, i, n)
}

// RowsPerShard returns how many rows of the given shape and type make a shard
// of about shardBytes bytes of pixels before compression: at least one.
func RowsPerShard(shardBytes int64, shape Shape, p PixelType) int {
	row := int64(shape.Size()) * int64(p.Size())
	if row <= 0 {
		return 1
	}
	return int(max(1, shardBytes/row))
}

// The canonical extension type of Arrow that pixels and means carry, as the
// metadata of their fields ("Arrow columnar format, canonical extension types").
const (
	extensionNameKey     = "ARROW:extension:name"
	extensionMetadataKey = "ARROW:extension:metadata"
	tensorExtension      = "arrow.fixed_shape_tensor"
)

// The keys of a file's own metadata, in its schema.
const (
	metaFormat       = "alexnet.format"
	metaVersion      = "alexnet.version"
	metaSplit        = "alexnet.split"
	metaRowsPerBatch = "alexnet.rows_per_batch"
)

// batchBytes is how many bytes of pixels an uncompressed record batch holds at
// most, and batchRows how many rows: enough for other readers to work in
// useful pieces, little enough to stay in a processor's cache from the
// subtraction to the digest, which is an eighth of the time to write a row.
const (
	batchBytes = 1 << 20
	batchRows  = 1024
)

// rowsPerBatch returns how many rows every record batch of a shard but the
// last holds: one when compressed, so that a row costs one decompression.
func rowsPerBatch(shape Shape, p PixelType, c Compression) int {
	if c != None {
		return 1
	}
	return min(RowsPerShard(batchBytes, shape, p), batchRows)
}

// tensorMetadata returns the extension metadata of a tensor of the shape.
func tensorMetadata(s Shape) string {
	return fmt.Sprintf(`{"shape":[%d,%d,%d],"dim_names":["C","H","W"]}`, s.C, s.H, s.W)
}

// tensorShape reads extension metadata, which is JSON, back. A permutation
// (values that are not stored in the order of the dimensions) is refused.
func tensorShape(metadata string) (Shape, error) {
	var m struct {
		Shape       Shape `json:"shape"`
		Permutation []int `json:"permutation"`
	}
	if err := json.Unmarshal([]byte(metadata), &m); err != nil {
		return Shape{}, fmt.Errorf("tensor metadata %.80q: %w", metadata, err)
	}
	if m.Permutation != nil {
		return Shape{}, fmt.Errorf("tensor metadata %.80q: permuted dimensions", metadata)
	}
	return m.Shape, m.Shape.check()
}

// tensorField returns the Arrow field of a tensor column.
func tensorField(name string, value arrow.DataType, s Shape) arrow.Field {
	return arrow.Field{
		Name: name,
		Type: arrow.FixedSizeListOf(int32(s.Size()), value),
		Metadata: arrow.NewMetadata(
			[]string{extensionNameKey, extensionMetadataKey},
			[]string{tensorExtension, tensorMetadata(s)}),
	}
}

// valueType returns the Arrow type of stored pixels.
func (p PixelType) valueType() arrow.DataType {
	if p == Int16 {
		return arrow.PrimitiveTypes.Int16
	}
	return arrow.PrimitiveTypes.Uint8
}

// The columns of a shard, in order.
const (
	colKey = iota
	colLabel
	colILSVRCID
	colWidth
	colHeight
	colSourceXXH3
	colCRC32C
	colPixels
	shardColumns
)

// shardSchema returns the Arrow schema of a shard.
func shardSchema(o WriterOptions) *arrow.Schema {
	fields := []arrow.Field{
		colKey:        {Name: "key", Type: arrow.BinaryTypes.String},
		colLabel:      {Name: "label", Type: arrow.PrimitiveTypes.Int32},
		colILSVRCID:   {Name: "ilsvrc_id", Type: arrow.PrimitiveTypes.Int32, Nullable: true},
		colWidth:      {Name: "width", Type: arrow.PrimitiveTypes.Uint16},
		colHeight:     {Name: "height", Type: arrow.PrimitiveTypes.Uint16},
		colSourceXXH3: {Name: "source_xxh3", Type: arrow.PrimitiveTypes.Uint64},
		colCRC32C:     {Name: "crc32c", Type: arrow.PrimitiveTypes.Uint32},
		colPixels:     tensorField("pixels", o.Pixels.valueType(), o.Shape),
	}
	meta := arrow.NewMetadata(
		[]string{metaFormat, metaVersion, metaSplit, metaRowsPerBatch},
		[]string{FormatName, strconv.Itoa(FormatVersion), o.Split,
			strconv.Itoa(rowsPerBatch(o.Shape, o.Pixels, o.Compression))})
	return arrow.NewSchema(fields, &meta)
}

// The columns of mean.arrow, in order.
const (
	colMean = iota
	colBaseline
	meanColumns
)

// meanSchema returns the Arrow schema of mean.arrow.
func meanSchema(s Shape) *arrow.Schema {
	meta := arrow.NewMetadata(
		[]string{metaFormat, metaVersion},
		[]string{FormatName, strconv.Itoa(FormatVersion)})
	return arrow.NewSchema([]arrow.Field{
		colMean:     tensorField("mean", arrow.PrimitiveTypes.Float32, s),
		colBaseline: tensorField("baseline", arrow.PrimitiveTypes.Uint8, s),
	}, &meta)
}
