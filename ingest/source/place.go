package source

// A place says where an item's bytes lie: the number of its root (a folder or
// an open tar) in the upper 8 bits, the offset within a tar in the lower 56.
type place uint64
