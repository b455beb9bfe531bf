//go:build race

package decode

const raceEnabled = true // it allocates on its own
