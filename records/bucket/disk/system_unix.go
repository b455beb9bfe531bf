//go:build !windows

package disk

import (
	"errors"
	"io/fs"
	"syscall"
)

// isNotFolder says whether a file lies where a path has a folder.
func isNotFolder(err error) bool { return errors.Is(err, syscall.ENOTDIR) }

// number is the file's inode: two that follow each other under one name have
// different ones, even where clocks are too coarse to tell them apart.
func number(info fs.FileInfo) uint64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(stat.Ino) //nolint:unconvert // not everywhere of this type
	}
	return 0
}
