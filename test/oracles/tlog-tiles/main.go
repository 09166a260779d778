// Reads an exported audit log with stock transparency tooling: signed notes, tiles and proofs are the ones of
// golang.org/x/mod/sumdb, the library of Go's checksum database. Only the paths are mapped: C2SP tlog-tiles fixes
// the height of a tile at 8 and leaves it out of its path, which this library writes as tile/8/...
//
//	tlog-tiles FOLDER VERIFIER-KEY [OLDER-CHECKPOINT]
//
// Prints the number of records whose inclusion it proved; exit status 1 and the reason if anything does not hold.
package main

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

type tiles struct{ folder string }

func (t tiles) Height() int { return height }

func (t tiles) ReadTiles(requested []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range requested {
		data, err := t.read(tile)
		if err != nil {
			return nil, err
		}
		found = append(found, data)
	}
	return found, nil
}

// The library hands back what it has checked, for a cache; there is none here.
func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (t tiles) read(tile tlog.Tile) ([]byte, error) {
	path := strings.Replace(tile.Path(), "tile/8/data/", "tile/entries/", 1)
	return os.ReadFile(filepath.Join(t.folder, strings.Replace(path, "tile/8/", "tile/", 1)))
}

// checkpoint is C2SP tlog-checkpoint: origin, size and root hash, a line each, in a signed note.
func checkpoint(path string, verifier note.Verifier) (tlog.Tree, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return tlog.Tree{}, err
	}
	signed, err := note.Open(text, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(signed.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		return tlog.Tree{}, fmt.Errorf("the checkpoint is not of %s", verifier.Name())
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return tlog.Tree{}, fmt.Errorf("the root hash is malformed")
	}
	tree := tlog.Tree{N: size}
	copy(tree.Hash[:], root)
	return tree, nil
}

// bundle splits a bundle of entries: each follows its length, 16 bits, big-endian.
func bundle(data []byte) ([][]byte, error) {
	var entries [][]byte
	for len(data) > 0 {
		if len(data) < 2 || len(data)-2 < int(binary.BigEndian.Uint16(data)) {
			return nil, fmt.Errorf("a bundle of entries ends early")
		}
		end := 2 + int(binary.BigEndian.Uint16(data))
		entries = append(entries, data[2:end])
		data = data[end:]
	}
	return entries, nil
}

func check(folder, key, older string) (int64, error) {
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return 0, err
	}
	tree, err := checkpoint(filepath.Join(folder, "checkpoint"), verifier)
	if err != nil {
		return 0, err
	}
	// Every hash read through it is checked against the signed root.
	reader := tlog.TileHashReader(tree, tiles{folder})
	for first := int64(0); first < tree.N; first += 1 << height {
		width := tree.N - first
		if width > 1<<height {
			width = 1 << height
		}
		data, err := tiles{folder}.read(tlog.Tile{H: height, L: -1, N: first >> height, W: int(width)})
		if err != nil {
			return 0, err
		}
		entries, err := bundle(data)
		if err != nil {
			return 0, err
		}
		if int64(len(entries)) != width {
			return 0, fmt.Errorf("the bundle at %d has %d entries", first, len(entries))
		}
		for i, entry := range entries {
			n := first + int64(i)
			proof, err := tlog.ProveRecord(tree.N, n, reader)
			if err != nil {
				return 0, err
			}
			if err := tlog.CheckRecord(proof, tree.N, tree.Hash, n, tlog.RecordHash(entry)); err != nil {
				return 0, fmt.Errorf("record %d: %w", n, err)
			}
		}
	}
	if older != "" {
		before, err := checkpoint(older, verifier)
		if err != nil {
			return 0, err
		}
		proof, err := tlog.ProveTree(tree.N, before.N, reader)
		if err != nil {
			return 0, err
		}
		if err := tlog.CheckTree(proof, tree.N, tree.Hash, before.N, before.Hash); err != nil {
			return 0, fmt.Errorf("the older checkpoint: %w", err)
		}
	}
	return tree.N, nil
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: tlog-tiles FOLDER VERIFIER-KEY [OLDER-CHECKPOINT]")
		os.Exit(2)
	}
	older := ""
	if len(os.Args) > 3 {
		older = os.Args[3]
	}
	proved, err := check(os.Args[1], os.Args[2], older)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(proved)
}
