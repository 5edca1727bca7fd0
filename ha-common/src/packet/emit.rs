//! Writing an advert. Called when it is sent: nothing keeps a packet that could go stale.

use core::net::IpAddr;

use super::{
    AUTH_LEN, Advert, Auth, ChecksumForm, Endpoints, HEADER_LEN, TYPE_ADVERTISEMENT, address_len, start,
};
use crate::types::{Centis, Family, Version};

/// Why an advert cannot be written. Configuration that was checked never leads here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmitError {
    /// The buffer is shorter than [`Advert::emitted_len`].
    Buffer,
    /// No address, or more than 255.
    AddressCount,
    /// An address or the endpoints are not of the advert's family, or VRRPv2 is asked for over IPv6.
    Family,
    /// VRRPv2 carries whole seconds up to 255, VRRPv3 hundredths up to 40.95 s.
    Interval,
}

impl core::fmt::Display for EmitError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Buffer => "the buffer is too short for the advert",
            Self::AddressCount => "an advert carries 1 to 255 addresses",
            Self::Family => "address family does not fit the advert",
            Self::Interval => "VRRPv2 carries whole seconds up to 255, VRRPv3 up to 40.95 s",
        })
    }
}

impl core::error::Error for EmitError {}

impl Advert {
    /// Bytes of the PDU with `count` addresses.
    #[must_use]
    pub const fn emitted_len(&self, count: usize) -> usize {
        let auth_len = match self.version {
            Version::V2 => AUTH_LEN,
            Version::V3 => 0,
        };
        HEADER_LEN + count.saturating_mul(address_len(self.family)).saturating_add(auth_len)
    }

    /// Writes the PDU to the front of `buffer` and returns its length.
    ///
    /// `auth` is VRRPv2's and is not looked at in VRRPv3. `form` is that of VRRPv3 over IPv4 and is not looked at
    /// otherwise. `endpoints` are those of the IP header that will be sent.
    ///
    /// # Errors
    /// [`EmitError`]; `buffer` may have been written to.
    pub fn emit(
        &self,
        addresses: &[IpAddr],
        auth: Auth,
        form: ChecksumForm,
        endpoints: &Endpoints,
        buffer: &mut [u8],
    ) -> Result<usize, EmitError> {
        if endpoints.family() != self.family || (self.version == Version::V2 && self.family == Family::V6) {
            return Err(EmitError::Family);
        }
        let count = u8::try_from(addresses.len()).map_err(|_| EmitError::AddressCount)?;
        if count == 0 {
            return Err(EmitError::AddressCount);
        }
        let (interval, form) = match (self.version, self.family) {
            (Version::V2, _) => (interval_v2(self.interval, auth)?, ChecksumForm::MessageOnly),
            // Twelve bits, and the reserved four are sent as zero (RFC 9568 section 5.2.6).
            (Version::V3, _) if self.interval > Centis::MAX_V3 => return Err(EmitError::Interval),
            (Version::V3, Family::V4) => (self.interval.get().to_be_bytes(), form),
            (Version::V3, Family::V6) => (self.interval.get().to_be_bytes(), ChecksumForm::PseudoHeader),
        };
        let len = self.emitted_len(addresses.len());
        let whole = buffer.get_mut(..len).ok_or(EmitError::Buffer)?;

        let (header, mut body) = whole.split_first_chunk_mut::<HEADER_LEN>().ok_or(EmitError::Buffer)?;
        let first = self.version.number() << 4 | TYPE_ADVERTISEMENT;
        *header = [first, self.vrid.get(), self.priority, count, interval[0], interval[1], 0, 0];
        for address in addresses {
            body = match (address, self.family) {
                (IpAddr::V4(address), Family::V4) => put(body, address.octets())?,
                (IpAddr::V6(address), Family::V6) => put(body, address.octets())?,
                _ => return Err(EmitError::Family),
            };
        }
        match (self.version, auth) {
            (Version::V2, Auth::None | Auth::Header(_)) => _ = put(body, [0; AUTH_LEN])?,
            (Version::V2, Auth::Password(password)) => _ = put(body, password)?,
            (Version::V3, _) => {}
        }

        let checksum = start(form, endpoints, len).with(whole).checksum();
        if let Some((header, _)) = whole.split_first_chunk_mut::<HEADER_LEN>() {
            [header[6], header[7]] = checksum.to_be_bytes();
        }
        Ok(len)
    }
}

/// Bytes 4 and 5 of a VRRPv2 header.
fn interval_v2(interval: Centis, auth: Auth) -> Result<[u8; 2], EmitError> {
    if !interval.get().is_multiple_of(100) {
        return Err(EmitError::Interval);
    }
    let seconds = u8::try_from(interval.get() / 100).map_err(|_| EmitError::Interval)?;
    Ok([auth.number(), seconds])
}

/// Writes `octets` to the front of `body` and returns what is left of it.
fn put<const N: usize>(body: &mut [u8], octets: [u8; N]) -> Result<&mut [u8], EmitError> {
    let (place, rest) = body.split_first_chunk_mut::<N>().ok_or(EmitError::Buffer)?;
    *place = octets;
    Ok(rest)
}
