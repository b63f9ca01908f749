//! Buffers that are read into once and written from many times. Who holds a piece of one counts as a
//! reference; a buffer nobody refers to goes back to the pool.

use std::sync::Arc;

/// Bytes read from a socket at once at most. As much as the largest pipelined batch that still fits the
/// second-level cache together with what is done to it.
pub(super) const CHUNK: usize = 256 * 1024;
/// Free buffers kept for the next reads.
const POOLED: usize = 64;

/// Names a buffer.
pub(super) type ChunkId = u32;

/// Bytes of this event loop, or of another one, which nobody changes any more.
#[derive(Debug)]
enum Data {
    Own(Vec<u8>),
    Common(Arc<Vec<u8>>),
}

impl Default for Data {
    fn default() -> Self {
        Self::Own(Vec::new())
    }
}

#[derive(Debug, Default)]
struct Chunk {
    data: Data,
    references: u32,
}

/// All buffers of one event loop.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    chunks: Vec<Chunk>,
    /// Places of `chunks` that hold nothing.
    vacant: Vec<ChunkId>,
    pool: Vec<Vec<u8>>,
    in_use: usize,
}

impl Chunks {
    /// A buffer of [`CHUNK`] bytes from the pool; what is in it is left over from earlier use.
    pub(super) fn fresh(&mut self) -> Vec<u8> {
        self.pool.pop().unwrap_or_else(|| vec![0; CHUNK])
    }

    /// Gives back a buffer that was never registered.
    pub(super) fn recycle(&mut self, data: Vec<u8>) {
        if data.len() == CHUNK && self.pool.len() < POOLED {
            self.pool.push(data);
        }
    }

    /// Reserves a name with one reference, for a buffer that [`Self::fill`] will hand over.
    pub(super) fn reserve(&mut self) -> ChunkId {
        self.in_use += 1;
        let id = self.vacant.pop().unwrap_or_else(|| {
            self.chunks.push(Chunk::default());
            (self.chunks.len() - 1) as ChunkId
        });
        self.chunks[id as usize].references = 1;
        id
    }

    /// Hands over the bytes of a reserved name.
    pub(super) fn fill(&mut self, id: ChunkId, data: Vec<u8>) {
        self.chunks[id as usize].data = Data::Own(data);
    }

    /// Names a buffer that other event loops hold too; with one reference.
    pub(super) fn adopt(&mut self, data: Arc<Vec<u8>>) -> ChunkId {
        let id = self.reserve();
        self.chunks[id as usize].data = Data::Common(data);
        id
    }

    /// The bytes of a buffer.
    #[inline]
    pub(super) fn bytes(&self, id: ChunkId) -> &[u8] {
        match &self.chunks[id as usize].data {
            Data::Own(data) => data,
            Data::Common(data) => data,
        }
    }

    /// Counts one more holder.
    #[inline]
    pub(super) fn hold(&mut self, id: ChunkId) {
        self.chunks[id as usize].references += 1;
    }

    /// Counts one holder less.
    #[inline]
    pub(super) fn release(&mut self, id: ChunkId) {
        let chunk = &mut self.chunks[id as usize];
        chunk.references -= 1;
        if chunk.references == 0 {
            if let Data::Own(data) = std::mem::take(&mut chunk.data) {
                self.recycle(data);
            }
            self.vacant.push(id);
            self.in_use -= 1;
        }
    }

    /// Buffers somebody holds.
    pub(super) fn in_use(&self) -> usize {
        self.in_use
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_returns_to_the_pool_with_its_last_holder() {
        let mut chunks = Chunks::default();
        let mut data = chunks.fresh();
        data[0] = 7;
        let id = chunks.reserve();
        chunks.fill(id, data);
        chunks.hold(id);
        chunks.release(id);
        assert_eq!((chunks.in_use(), chunks.bytes(id)[0]), (1, 7));
        chunks.release(id);
        assert_eq!((chunks.in_use(), chunks.pool.len()), (0, 1));
    }

    #[test]
    fn a_common_buffer_is_let_go_with_its_last_holder_here() {
        let (mut chunks, data) = (Chunks::default(), Arc::new(vec![5; 10]));
        let id = chunks.adopt(data.clone());
        assert_eq!((chunks.bytes(id), Arc::strong_count(&data)), (&[5; 10][..], 2));
        chunks.release(id);
        assert_eq!((Arc::strong_count(&data), chunks.in_use(), chunks.pool.len()), (1, 0, 0));
    }

    #[test]
    fn oversized_buffers_are_given_back_to_the_system() {
        let mut chunks = Chunks::default();
        chunks.recycle(vec![0; CHUNK * 2]);
        assert!(chunks.pool.is_empty());
    }
}
