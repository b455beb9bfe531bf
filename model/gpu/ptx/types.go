package ptx

// class is how a type's bits are read.
type class uint8

const (
	bitsClass class = iota
	unsigned
	signed
	float
	brain // bfloat16
	predicate
	tensor // tf32, which only cvt knows
)

// scalar is a type of PTX, such as .s32.
type scalar struct {
	name  string
	class class
	bytes int // of a register of it; of a predicate 1
	packs int // 2 for f16x2 and bf16x2
}

func (t scalar) bits() int       { return 8 * t.bytes }
func (t scalar) isFloat() bool   { return t.class == float || t.class == brain }
func (t scalar) isSigned() bool  { return t.class == signed }
func (t scalar) isInteger() bool { return t.class <= signed }

// scalarTable holds the types by their names.
//
//nolint:gochecknoglobals // read only
var scalarTable = map[string]scalar{
	"b8": {"b8", bitsClass, 1, 1}, "b16": {"b16", bitsClass, 2, 1}, "b32": {"b32", bitsClass, 4, 1}, "b64": {"b64", bitsClass, 8, 1},
	"u8": {"u8", unsigned, 1, 1}, "u16": {"u16", unsigned, 2, 1}, "u32": {"u32", unsigned, 4, 1}, "u64": {"u64", unsigned, 8, 1},
	"s8": {"s8", signed, 1, 1}, "s16": {"s16", signed, 2, 1}, "s32": {"s32", signed, 4, 1}, "s64": {"s64", signed, 8, 1},
	"f16": {"f16", float, 2, 1}, "f32": {"f32", float, 4, 1}, "f64": {"f64", float, 8, 1},
	"bf16": {"bf16", brain, 2, 1}, "tf32": {"tf32", tensor, 4, 1},
	"f16x2": {"f16x2", float, 4, 2}, "bf16x2": {"bf16x2", brain, 4, 2},
	"pred": {"pred", predicate, 1, 1},
}

// space is where an address points.
type space uint8

const (
	generic space = iota
	global
	shared
	local
	constant
	param
)

//nolint:gochecknoglobals // read only
var spaceTable = map[string]space{
	"global": global, "shared": shared, "shared::cta": shared, "local": local, "const": constant, "param": param,
}

func (s space) String() string {
	return [...]string{"generic", "global", "shared", "local", "const", "param"}[s]
}

// signExtend reads the low bits of v as a signed number.
func signExtend(v uint64, bits int) int64 { return int64(v<<(64-bits)) >> (64 - bits) }

// truncate keeps the low bits of v.
func truncate(v uint64, bits int) uint64 { return v << (64 - bits) >> (64 - bits) }
