// Verifies a log in a directory with golang.org/x/mod/sumdb, which knows nothing of vak: the signature with `note`, the
// tiles and every entry with `tlog`. Only the reading of files and of entry bundles (C2SP tlog-tiles), which Go's own log
// does not have, is done here.
//
//	verify <directory> <vkey>
//
// It then reads changes from standard input, one per line, applies each of them alone, in memory, and answers with a
// line "ok" or "refused: …". The empty change is the directory as it is.
//
//	{"flip": {"path": …, "at": byte, "bit": 0..7}}
//	{"files": {path: base64 or null}}
package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

type files map[string][]byte

// A reader gives Go its tiles. Go's paths have the height before the level; those of C2SP tlog-tiles do not.
type reader struct{ files files }

func (r reader) Height() int { return height }

func (r reader) SaveTiles([]tlog.Tile, [][]byte) {}

func (r reader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		data, ok := r.files[strings.Replace(tile.Path(), "tile/8/", "tile/", 1)]
		if !ok {
			return nil, fmt.Errorf("no %s", tile.Path())
		}
		all = append(all, data)
	}
	return all, nil
}

func verify(files files, verifier note.Verifier) error {
	signed, err := note.Open(files["checkpoint"], note.VerifierList(verifier))
	if err != nil {
		return err
	}
	tree, err := parseCheckpoint(signed.Text, verifier.Name())
	if err != nil {
		return err
	}
	hashes := tlog.TileHashReader(tree, reader{files})
	root, err := tlog.TreeHash(tree.N, hashes)
	if err != nil {
		return err
	}
	if tree.N == 0 {
		root = sha256.Sum256(nil) // RFC 6962; this version of tlog has no hash for an empty tree
	}
	if root != tree.Hash {
		return errors.New("another root")
	}
	expected := map[string]bool{}
	for first := int64(0); first < tree.N; first += 1 << height {
		width := tree.N - first
		if width > 1<<height {
			width = 1 << height
		}
		// Entry bundles have the paths of level-0 tiles, with another name for the level.
		path := tlog.Tile{H: height, L: 0, N: first >> height, W: int(width)}.Path()
		path = strings.Replace(path, "tile/8/0/", "tile/entries/", 1)
		expected[path] = true
		bundle, ok := files[path]
		if !ok {
			return fmt.Errorf("no %s", path)
		}
		var indexes []int64
		for i := int64(0); i < width; i++ {
			indexes = append(indexes, tlog.StoredHashIndex(0, first+i))
		}
		leaves, err := hashes.ReadHashes(indexes)
		if err != nil {
			return err
		}
		for i := int64(0); i < width; i++ {
			if len(bundle) < 2 {
				return fmt.Errorf("%s is cut short", path)
			}
			length := int(binary.BigEndian.Uint16(bundle))
			if len(bundle) < 2+length {
				return fmt.Errorf("%s is cut short", path)
			}
			if tlog.RecordHash(bundle[2:2+length]) != leaves[i] {
				return fmt.Errorf("entry %d is not the one in the tree", first+i)
			}
			bundle = bundle[2+length:]
		}
		if len(bundle) > 0 {
			return fmt.Errorf("%s goes on", path)
		}
	}
	// For the last tile of a level, Go lists every width that it ever had, the current one last.
	all := tlog.NewTiles(height, 0, tree.N)
	for i, tile := range all {
		if i+1 < len(all) && all[i+1].L == tile.L && all[i+1].N == tile.N {
			continue
		}
		expected[strings.Replace(tile.Path(), "tile/8/", "tile/", 1)] = true
	}
	for path := range files {
		if strings.HasPrefix(path, "tile/") && !expected[path] {
			return fmt.Errorf("%s is not of this log", path)
		}
	}
	return verifyProofs(tree, hashes)
}

// verifyProofs has Go make and check proofs for the first and last entries and the sizes around full tiles.
func verifyProofs(tree tlog.Tree, hashes tlog.HashReader) error {
	for _, n := range []int64{0, 1, 255, 256, 257, tree.N / 2, tree.N - 2, tree.N - 1} {
		if n < 0 || n >= tree.N {
			continue
		}
		leaf, err := hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, n)})
		if err != nil {
			return err
		}
		inclusion, err := tlog.ProveRecord(tree.N, n, hashes)
		if err != nil {
			return err
		}
		if err := tlog.CheckRecord(inclusion, tree.N, tree.Hash, n, leaf[0]); err != nil {
			return err
		}
		old, err := tlog.TreeHash(n+1, hashes)
		if err != nil {
			return err
		}
		consistency, err := tlog.ProveTree(tree.N, n+1, hashes)
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(consistency, tree.N, tree.Hash, n+1, old); err != nil {
			return err
		}
	}
	return nil
}

// parseCheckpoint lets tlog.ParseTree read the text, after replacing the first line with the one of Go's own format.
func parseCheckpoint(text, origin string) (tlog.Tree, error) {
	rest := strings.TrimPrefix(text, origin+"\n")
	if rest == text {
		return tlog.Tree{}, errors.New("a checkpoint of another origin")
	}
	return tlog.ParseTree([]byte("go.sum database tree\n" + rest))
}

type change struct {
	Flip *struct {
		Path string
		At   int
		Bit  int
	}
	Files map[string]*[]byte
}

func changed(base files, c change) files {
	all := files{}
	for path, data := range base {
		all[path] = data
	}
	if c.Flip != nil {
		data := append([]byte{}, base[c.Flip.Path]...)
		data[c.Flip.At] ^= 1 << c.Flip.Bit
		all[c.Flip.Path] = data
	}
	for path, data := range c.Files {
		if data == nil {
			delete(all, path)
		} else {
			all[path] = *data
		}
	}
	return all
}

func main() {
	verifier, err := note.NewVerifier(os.Args[2])
	check(err)
	base := files{}
	check(filepath.Walk(os.Args[1], func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		name, err := filepath.Rel(os.Args[1], path)
		if err != nil {
			return err
		}
		base[filepath.ToSlash(name)], err = os.ReadFile(path)
		return err
	}))
	lines := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	decoder := json.NewDecoder(lines)
	for decoder.More() {
		var c change
		check(decoder.Decode(&c))
		if err := verify(changed(base, c), verifier); err != nil {
			fmt.Fprintf(out, "refused: %s\n", strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Fprintln(out, "ok")
		}
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}
