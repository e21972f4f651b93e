/** What a good time server answers. @param us epoch microseconds by its clock */
export function ntpAnswer(question: Buffer, us: number): Buffer {
  const answer = Buffer.alloc(48);
  answer[0] = 0x1c;
  answer[1] = 2;
  question.copy(answer, 24, 40, 48);
  answer.writeUInt32BE(Math.floor(us / 1e6) + 2_208_988_800, 40);
  answer.writeUInt32BE(Math.floor(((us % 1e6) / 1e6) * 2 ** 32), 44);
  return answer;
}
