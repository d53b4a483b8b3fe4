package authz

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// Head is the end of a chain. A copy kept elsewhere shows whether lines have since been cut off the end, which the chain alone cannot.
type Head struct {
	Seq  uint64 `json:"seq"`
	Hash string `json:"hash"`
	Torn int64  `json:"torn"` // bytes of lines that were not written whole, each gap being accounted for
	Lost uint64 `json:"lost"` // records that the log says it could not keep
}

// ChainError says where a log is not what was written.
type ChainError struct {
	Line int
	Err  error
}

func (e *ChainError) Error() string {
	return "audit log line " + strconv.Itoa(e.Line) + ": " + e.Err.Error()
}

func (e *ChainError) Unwrap() error { return e.Err }

// Verify reads a log from its beginning and checks the chain. Errors about the content are *ChainError.
func Verify(r io.Reader) (Head, error) {
	v := verifier{head: Head{Hash: genesis}}
	br := bufio.NewReaderSize(r, 64<<10)
	for n := 1; ; n++ {
		line, err := readLine(br)
		if err != nil && !errors.Is(err, io.EOF) {
			return v.head, fmt.Errorf("read audit log: %w", err)
		}
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return v.head, v.end(n - 1)
		}
		if err := v.line(line); err != nil {
			return v.head, &ChainError{Line: n, Err: err}
		}
	}
}

// verifier follows a chain; open is what torn lines since the last record amount to.
type verifier struct {
	head Head
	open int64
}

func (v *verifier) line(line []byte) error {
	rec, err := parseRecord(line)
	if err != nil {
		if len(line) == 0 {
			return err
		}
		v.open += int64(len(line))
		return nil // the next record has to own up to it
	}
	switch {
	case rec.Event == EventResume && rec.Torn != v.open:
		return fmt.Errorf("%d bytes are no records, %d were torn", v.open, rec.Torn)
	case rec.Event != EventResume && v.open != 0:
		return fmt.Errorf("%d bytes before it are no records", v.open)
	case rec.Seq != v.head.Seq+1:
		return fmt.Errorf("number %d follows %d", rec.Seq, v.head.Seq)
	case rec.Prev != v.head.Hash:
		return errors.New("the line before it is not the one that was written")
	}
	v.head = Head{Seq: rec.Seq, Hash: lineHash(line), Torn: v.head.Torn + v.open, Lost: v.head.Lost + rec.Lost}
	v.open = 0
	return nil
}

func (v *verifier) end(line int) error {
	if v.open > 0 {
		return &ChainError{Line: line, Err: fmt.Errorf("%d bytes at the end are no records", v.open)}
	}
	return nil
}

// readLine reads a line of at most maxLine bytes, without its newline.
func readLine(br *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := br.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxLine {
			return nil, errors.New("line too long")
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimSuffix(line, []byte("\n")), err
		}
	}
}
