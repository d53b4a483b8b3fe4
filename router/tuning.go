package router

import "time"

// Sizes and times that are not protocol: changing one changes no byte on the wire.
const (
	readBuffer  = 256 << 10 // bytes asked of a link at once
	writeBatch  = 256 << 10 // bytes given to a link at once
	slowBatch   = 64 << 10  // the same while writes take longer than slowWrite: less stands before what is urgent
	slowWrite   = time.Millisecond
	smallFrame  = 4 << 10  // frames up to this are copied together; longer ones are written from where they are
	linkQueue   = 64 << 20 // memory of what waits for a link before its feeders do
	readIdle    = 1 << 10  // reads, in a row that a quarter of the buffer would have been enough for, before it shrinks
	readStart   = 16 << 10 // the first size of a link's read buffer; it grows when filled
	minMessage  = 64 << 10 // a link that takes less could not carry streams
	directRead  = 64 << 10 // a payload's missing rest from this size on is read to where it belongs
	trustedSize = 1 << 20  // payloads up to this get their buffer at once; longer ones as they arrive

	stallPace     = 256 << 10              // bytes a second that a child has to take while its queue is at the limit,
	mostPatience  = 10 * time.Second       // and how far it may be behind: in a master,
	leastPatience = 5 * time.Second        // and the least far below
	drainGrace    = 500 * time.Millisecond // after a failed write, how long silence lasts before the link is closed
	flushTime     = 250 * time.Millisecond // for what is queued when a link is closed on purpose
	shutdownTime  = 3 * time.Second        // a child that got SHUTDOWN gives its own children this long
	peerLogRate   = 10                     // log records that a peer can cause at once, and per second
	forwardedRate = 1000                   // of them forwarded by FORWARD_LOG

	maxRoutes     = 1 << 14  // contexts a child may announce
	maxEgress     = 1 << 14  // destinations remembered per link; beyond, it hears of every loss
	maxBlocks     = 1 << 10  // id blocks a child's link may be granted
	maxCalls      = 512      // functions running at once
	maxCallBytes  = 32 << 20 // calls waiting
	maxChains     = 4096     // failed chains remembered
	maxLogText    = 64 << 10
	logQueue      = 1 << 20  // bytes towards the parent above which log records are dropped
	receiverLimit = 64 << 20 // bytes a Receiver holds unread
	maxErrorText  = 9999     // characters of a CallError; Mitogen refuses 10000
)
